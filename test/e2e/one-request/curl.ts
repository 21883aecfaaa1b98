/** Senders that use only curl, and their world. */
import { spawn } from 'node:child_process'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { Running, World } from '../harness/world.ts'

export const MIB = 1024 * 1024

/** Runs the system's curl. Its answer is written as it arrives, with the status on a line of its own at the end. */
export function curl(...args: string[]): Running {
  const common = [
    '--silent',
    '--show-error',
    '--no-buffer',
    '--write-out',
    '%{stderr}status %{http_code} sent %{size_upload}',
  ]
  const running = new Running(spawn('curl', [...common, ...args], { stdio: ['pipe', 'pipe', 'pipe'] }))
  running.child.stdin?.on('error', () => {})
  onTestFinished(async () => {
    await running.stop('SIGKILL')
  })
  return running
}

/** The end of curl's output: the status of the answer, and how many bytes of the body it has sent. */
export async function outcome(sending: Running): Promise<{ status: number; sentBytes: number; lines: string[] }> {
  const { stderr } = await sending.ended
  const [, status, sentBytes] = /status (\d+) sent (\d+)/.exec(stderr) ?? []
  if (status === undefined) throw new Error(`curl ended otherwise: ${stderr}`)
  return { status: Number(status), sentBytes: Number(sentBytes), lines: sending.lines.filter((line) => line !== '') }
}

/** A world with a portal, alice, who has a token and no keys, and others, who have keys. */
export async function handWorld(args: readonly string[] = [], others: readonly string[] = ['bob']) {
  const world = await World.create()
  const portal = await world.portal(args)
  await world.join(['alice'], {}, { hasKeys: false })
  await world.join(others)
  const authorization = `Authorization: Bearer ${await world.token('alice')}`
  /** Sends a file, or with `-` the standard input of curl, to `/v1/to/PATH`. */
  const send = (file: string, path: string, ...more: string[]): Running =>
    curl('--upload-file', file, '--header', authorization, ...more, `${world.portalUrl}/v1/to/${path}`)
  return { world, portal, send, authorization }
}

export interface Relay {
  readonly url: string
  /** The bytes that clients have sent so far, headers included. */
  bytes(): number
}

/**
 * Passes connections on unchanged, and counts what clients send.
 *
 * @param onBytes called with that count as it grows, and with a function that cuts every connection
 */
export async function relayTo(
  portalUrl: string,
  onBytes: (bytes: number, cutAll: () => void) => void = () => {},
): Promise<Relay> {
  let bytes = 0
  const open = new Set<Socket>()
  const cutAll = (): void => {
    for (const socket of open) socket.destroy()
  }
  const server = createServer((client) => {
    const { hostname, port } = new URL(portalUrl)
    const portal = connect(Number(port), hostname)
    client.on('data', (some) => {
      bytes += some.length
      onBytes(bytes, cutAll)
    })
    client.pipe(portal).pipe(client)
    for (const socket of [client, portal]) {
      open.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        open.delete(socket)
        client.destroy()
        portal.destroy()
      })
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, bytes: () => bytes }
}
