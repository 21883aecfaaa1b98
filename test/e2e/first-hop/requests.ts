/** Telling the sender's requests apart, at the proxy between it and the portal. */
import type { Fault, FaultyNetwork, Seen } from '../harness/proxy.ts'
import type { JsonLine, Running } from '../harness/world.ts'

export const MIB = 1024 * 1024

const PART = /^\/v1\/transfers\/[^/]+\/parts\/(\d+)$/
const COMPLETE = /^\/v1\/transfers\/[^/]+\/complete$/
const TRANSFER = /^\/v1\/transfers\/[^/]+$/

/** The number of the part that a request sends; null where it sends none. */
export function partOf({ method, path }: Seen): number | null {
  const match = PART.exec(path)
  return method === 'PUT' && match !== null ? Number(match[1]) : null
}

export function isComplete({ method, path }: Seen): boolean {
  return method === 'POST' && COMPLETE.test(path)
}

export function isAnnounce({ method, path }: Seen): boolean {
  return method === 'PUT' && TRANSFER.test(path)
}

/** How often each part was sent, by its number, from the request with that index on. */
export function partsSent(network: FaultyNetwork, from = 0): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const seen of network.seen.slice(from)) {
    const partNumber = partOf(seen)
    if (partNumber !== null) counts[partNumber] = (counts[partNumber] ?? 0) + 1
  }
  return counts
}

/** Lets none of the requests that fit through until it is opened; then they are cut, and their repetitions pass. */
export function gate(network: FaultyNetwork, isHeld: (seen: Seen) => boolean): { open(): void } {
  network.rule = (seen): Fault | null => (isHeld(seen) ? { hang: true } : null)
  return {
    open() {
      network.rule = () => null
      network.cutHanging()
    },
  }
}

/** The notifications that a sender passed on, in order. */
export function notificationsOf(sending: Running): JsonLine[] {
  return sending.json.filter((line) => line.type === 'notification')
}

/** Their kinds. */
export function kindsOf(sending: Running): unknown[] {
  return notificationsOf(sending).map((one) => one.notification)
}

/** What `--json` said first about a file: its transfer, and whether an earlier one is gone on with. */
export function startOf(sending: Running): Promise<JsonLine> {
  return sending.object((line) => line.phase === 'started')
}
