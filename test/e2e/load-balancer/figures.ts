/** Ways to ask a portal for its figures that a proxy in front of it has to keep from the world. */
import { connect } from 'node:net'

/** Ways to ask a portal for its figures: each of these is answered by a portal that is asked itself. */
export const FORMS = [
  '/metrics',
  '/metrics?x=1',
  '/%6detrics',
  '/%6Detrics',
  '/%6d%65%74%72%69%63%73',
  '/metric%73?x',
  'http://files.example/metrics',
  'http://files.example/%6detrics',
  'https://files.example/metric%73',
] as const
/** Others, which a portal does not take for that path today, or a load balancer reads in its own way. */
export const OTHER_FORMS = [
  '/%256detrics',
  '/./metrics',
  '/x/../metrics',
  '/%2e/metrics',
  '//metrics',
  '/metrics/',
  '/metrics;x',
  '/metrics#x',
  '/METRICS',
  '/metrics%00',
  'http://x?y/metrics',
] as const

/** Asks with this very target in the request line. @returns all that was answered */
export function ask(host: string, target: string): Promise<string> {
  const { hostname, port } = new URL(`http://${host}`)
  const socket = connect(Number(port), hostname)
  socket.write(`GET ${target} HTTP/1.1\r\nHost: files.example\r\nConnection: close\r\n\r\n`)
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  return new Promise((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => resolve(text))
  })
}
