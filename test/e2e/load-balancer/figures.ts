/** Request targets for the portal's metrics. A proxy in front of it must not serve them to the public. */
import { connect } from 'node:net'

/** A portal that is asked directly answers each of these with its metrics. */
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
/** Others: a portal does not resolve them to that path, or a load balancer may read them in its own way. */
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

/** Sends a request with exactly this target. @returns the whole response */
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
