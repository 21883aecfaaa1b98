/** Shared set-up for tests of the second hop: files that wait at the portal, and queries at both sides. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeliveryStatus, Notification, ProblemJson, TransferStatus } from '../../../src/protocol/index.ts'
import type { FaultyNetwork, Seen } from '../harness/proxy.ts'
import type { Running, World } from '../harness/world.ts'

export const MIB = 1024 * 1024

/** A file that has been sent. */
export interface Sent {
  readonly path: string
  readonly transferId: string
}

/** Sends a file with that many parts of 1 MiB, and resolves when the portal has it. */
export async function store(world: World, name: string, partCount: number, to = 'bob'): Promise<Sent> {
  const path = await world.file(name, partCount * MIB)
  const sending = world.send(path, to, '--part-size', '1MiB', '--no-wait')
  const { code, stderr } = await sending.ended
  if (code !== 0) throw new Error(`the file was not stored: ${stderr}`)
  return { path, transferId: transferIdOf(sending) }
}

/** Sends a file of that many parts of 1 MiB. Resolves once the portal knows the transfer; the send continues. */
export async function startSending(
  world: World,
  name: string,
  partCount: number,
  to = 'bob',
): Promise<Sent & { sending: Running }> {
  const path = await world.file(name, partCount * MIB)
  const sending = world.send(path, to, '--part-size', '1MiB')
  await sending.object((value) => value.phase === 'started')
  return { path, transferId: transferIdOf(sending), sending }
}

function transferIdOf(sending: Running): string {
  return String(sending.json.find((line) => line.phase === 'started')?.transferId)
}

/** The notifications that a sender's process printed, in order. */
export function notifiedOf(sending: Running): unknown[] {
  return sending.json.flatMap((line) => (line.type === 'notification' ? [line.notification] : []))
}

/** The portal's record of a transfer, as its sender sees it from another process. */
export async function recordOf(world: World, transferId: string): Promise<TransferStatus> {
  const { code, stdout, stderr } = await world.run('status', transferId, '--profile', 'alice', '--json')
  if (code !== 0) throw new Error(`no status: ${stderr}`)
  return JSON.parse(stdout)
}

/** Polls the state of the only delivery of a transfer. */
export async function deliveryWatch(world: World, transferId: string): Promise<() => Promise<DeliveryStatus>> {
  const client = await world.client('alice')
  return async () => {
    const { deliveries } = await client.transfer(transferId)
    if (deliveries[0] === undefined) throw new Error('the transfer has no delivery')
    return deliveries[0]
  }
}

/** The kinds of the notifications, in order. */
export function kindsOf(notifications: readonly Notification[]): string[] {
  return notifications.map(({ notification }) => notification)
}

/** The unfinished entries of an inbox: parts, and records of files that are being published. */
export async function unfinished(world: World, name: string): Promise<string[]> {
  const names = await readdir(join(world.inbox(name), '.golooader')).catch(() => [])
  return names.filter((one) => !['instance', 'lock', 'received'].includes(one))
}

/** The problem that a receiver reported or received, with an object of its `--json`. */
export async function toldProblem(receiver: Running, type: 'refused' | 'withdrawn'): Promise<ProblemJson> {
  const { problem } = await receiver.object((value) => value.type === type)
  return problem as ProblemJson
}

/** Resolves when a receiver has that many verified parts of 1 MiB. */
export async function holds(receiver: Running, partCount: number): Promise<void> {
  await receiver.object((value) => value.type === 'fetching' && Number(value.heldBytes) >= partCount * MIB)
}

/** The part number of a download request; null for another request. */
export function fetchedPart({ method, path }: Seen): number | null {
  const [, partNumber] = /^\/v1\/inbox\/[^/]+\/parts\/(\d+)$/.exec(path) ?? []
  return method === 'GET' && partNumber !== undefined ? Number(partNumber) : null
}

/** How often each part was requested: [partNumber, count], in the order of the numbers. */
export function fetches(network: FaultyNetwork): [number, number][] {
  const counts = new Map<number, number>()
  for (const seen of network.seen) {
    const partNumber = fetchedPart(seen)
    if (partNumber !== null) counts.set(partNumber, (counts.get(partNumber) ?? 0) + 1)
  }
  return [...counts].sort(([a], [b]) => a - b)
}

/** Lets a receiver have the first parts. The others are held until the returned function is called. */
export function holdBackAfter(network: FaultyNetwork, partNumberLast: number): () => void {
  const gate = Promise.withResolvers<void>()
  network.rule = (seen) => ((fetchedPart(seen) ?? 0) > partNumberLast ? { heldUntil: gate.promise } : null)
  return () => {
    network.rule = () => null
    gate.resolve()
  }
}

/** Whether a request is a receiver's answer to the portal. */
export function isDisposition({ method, path }: Seen): boolean {
  return method === 'POST' && /^\/v1\/inbox\/[^/]+\/disposition$/.test(path)
}

export const DISPOSITION = /\/disposition$/
