/** Recognises the sender's requests at the proxy between it and the portal. */
import type { Fault, FaultyNetwork, Seen } from '../harness/proxy.ts'
import type { JsonLine, Running } from '../harness/world.ts'

export const MIB = 1024 * 1024

const PART = /^\/v1\/transfers\/[^/]+\/parts\/(\d+)$/
const COMPLETE = /^\/v1\/transfers\/[^/]+\/complete$/
const TRANSFER = /^\/v1\/transfers\/[^/]+$/

/** The part number of an upload request; null for another request. */
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

/** How often each part was sent, by its number, starting with the request at that index. */
export function partsSent(network: FaultyNetwork, from = 0): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const seen of network.seen.slice(from)) {
    const partNumber = partOf(seen)
    if (partNumber !== null) counts[partNumber] = (counts[partNumber] ?? 0) + 1
  }
  return counts
}

/** Holds matching requests until it is opened. Then it cuts them, and their repetitions pass. */
export function gate(network: FaultyNetwork, isHeld: (seen: Seen) => boolean): { open(): void } {
  network.rule = (seen): Fault | null => (isHeld(seen) ? { hang: true } : null)
  return {
    open() {
      network.rule = () => null
      network.cutHanging()
    },
  }
}

/** The notifications that a sender printed, in order. */
export function notificationsOf(sending: Running): JsonLine[] {
  return sending.json.filter((line) => line.type === 'notification')
}

/** Their kinds. */
export function kindsOf(sending: Running): unknown[] {
  return notificationsOf(sending).map((one) => one.notification)
}

/** The first line of `--json` about a file: its transfer, and whether it resumes an earlier one. */
export function startOf(sending: Running): Promise<JsonLine> {
  return sending.object((line) => line.phase === 'started')
}
