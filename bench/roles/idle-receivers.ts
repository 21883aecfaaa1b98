/**
 * Many receivers in one process, each with a connection of its own to its inbox, as bare as can be. They take nothing: each
 * offer is only told, with its time.
 *
 * Usage: idle-receivers.ts PORTAL-URL, and one `{"name", "token"}` a line at the standard input. Prints one JSON object a
 * line. Times are those of the machine's monotonic clock, which all of its processes share.
 */
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import type { Offer } from '../../src/protocol/index.ts'

/** What this process prints. */
export type ReceiversMessage =
  /** Every receiver has been told that it is up to date. */
  | { readonly type: 'current' }
  | {
      readonly type: 'offer'
      readonly receiver: string
      /** Nanoseconds, in a string. */
      readonly at: string
      readonly offer: Offer
    }
  | { readonly type: 'closed'; readonly receiver: string; readonly said: string }

/** How many connect at a time. */
const CONNECTING_AT_ONCE = 64
const SAID_LENGTH_MAX = 500

const { hostname, port } = new URL(process.argv[2] ?? '')
const accounts: { name: string; token: string }[] = []
for await (const line of createInterface({ input: process.stdin })) accounts.push(JSON.parse(line))
const queue = accounts.entries()
await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connectNext))
tell({ type: 'current' })

async function connectNext(): Promise<void> {
  for (const [index, { name, token }] of queue) await follow(name, token, `bench-${String(index).padStart(6, '0')}`)
}

/** Resolves once the receiver is up to date. What comes later is told. */
function follow(name: string, token: string, instanceId: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const socket: Socket = connect({ host: hostname, port: Number(port) })
  socket.write(
    `GET /v1/inbox?instance=${instanceId}&window=4&content=inline HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
      `Accept: text/event-stream\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  let pending = ''
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => {
    const at = process.hrtime.bigint().toString()
    // An event ends with an empty line; what frames it in the body of the answer stands between events.
    const events = (pending + text).split('\n\n')
    pending = events.pop() ?? ''
    for (const event of events) {
      const data = /(?:^|\n)data: (.*)$/.exec(event)?.[1] ?? ''
      if (event.includes('event: offer\n')) tell({ type: 'offer', receiver: name, at, offer: JSON.parse(data) })
      if (event.includes('event: current\n')) resolve()
    }
  })
  socket.on('error', () => {})
  socket.on('close', () => tell({ type: 'closed', receiver: name, said: pending.slice(0, SAID_LENGTH_MAX) }))
  return promise
}

function tell(message: ReceiversMessage): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
