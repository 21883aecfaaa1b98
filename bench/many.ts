/**
 * Many idle receivers on one portal: what they cost it in memory and processor time, and how long an offer takes to reach the
 * right one, from just before its announcement (with the content, or without) leaves to when it has arrived. Every offer is
 * taken and compared, and none may reach anybody else. Receivers are bare connections in processes of their own.
 *
 *     npm run bench -- many [--receivers N] [--idle SECONDS] [--offers N] [--json]
 */
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { newTransferId, type Offer } from '../src/protocol/index.ts'
import { type BenchAccount, clientOf, openAccounts } from './accounts.ts'
import { circumstances, KIB, megabytes, percentile, short, table } from './figures.ts'
import { PortalProcess } from './portal-process.ts'
import { end } from './processes.ts'
import { announcementOf, fetchOnlyPart, wholeOf } from './requests.ts'
import type { ReceiversMessage } from './roles/idle-receivers.ts'

const RECEIVERS_DEFAULT = 10_000
const IDLE_SECONDS_DEFAULT = 60
const OFFERS_DEFAULT = 400
/** Each has half of the receivers. */
const RECEIVER_PROCESSES = 2
/** The portal keeps three quarters of the files that it may open for connections; a few of these are for those who send. */
const CONNECTIONS_SHARE = 0.75
const CONNECTIONS_SPARE = 100
const SIZE_BYTES = 4 * KIB
/** Between two announcements. */
const PAUSE_MS = 20
const OFFER_TIMEOUT_MS = 30_000
/** What settles after so many have connected is not part of being idle; so much of the idle time again is for that. */
const SETTLE_SHARE = 0.1
const NS_PER_MS = 1e6

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    receivers: { type: 'string' },
    idle: { type: 'string' },
    offers: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const wantedCount = Number(values.receivers ?? RECEIVERS_DEFAULT)
const idleSeconds = Number(values.idle ?? IDLE_SECONDS_DEFAULT)
const offerCount = Number(values.offers ?? OFFERS_DEFAULT)
const receiverCount = Math.min(wantedCount, await connectionsMax())
if (receiverCount < wantedCount) {
  process.stdout.write(
    `${receiverCount} receivers instead of ${wantedCount}: a process may open ${await openFilesMax()} files here, ` +
      'and the portal keeps a quarter of them for what goes over connections.\n',
  )
}

/** An offer as one of the processes saw it. */
interface Seen {
  readonly receiver: string
  readonly atNs: bigint
  readonly offer: Offer
}

await using stack = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'golooader-bench-'))
stack.defer(() => rm(folder, { recursive: true, force: true }))
const names = Array.from({ length: receiverCount }, (_, index) => `receiver-${index + 1}`)
const [alice, ...receivers] = await openAccounts(folder, ['alice', ...names])
if (alice === undefined) throw new Error('there is no sender')
const portal = stack.use(await PortalProcess.start(folder))
const emptyBytes = await portal.residentBytes()
const seen = new Map<string, Seen[]>()
const waiting = new Map<string, (seen: Seen) => void>()
const cut: string[] = []

const beforeConnecting = await portal.usage()
const connectingAtMs = performance.now()
await Promise.all(Array.from({ length: RECEIVER_PROCESSES }, (_, index) => connectShare(index)))
const connectingMs = performance.now() - connectingAtMs
const afterConnecting = await portal.usage()
await setTimeout(idleSeconds * SETTLE_SHARE * 1000)

const beforeIdle = await portal.usage()
await setTimeout(idleSeconds * 1000)
const idleCpuMs = (await portal.usage()).cpuMs - beforeIdle.cpuMs
const idleBytes = await portal.residentBytes()

const wholeMs: number[] = []
const announcedMs: number[] = []
const client = clientOf(portal.url, alice.token)
stack.defer(() => client.close())
for (let count = 0; count < offerCount; count++) {
  const receiver = receivers[randomInt(receivers.length)]
  if (receiver === undefined) throw new Error('there are no receivers')
  if (count % 2 === 0) wholeMs.push(await offerWhole(receiver))
  else announcedMs.push(await offerAnnounced(receiver))
  await setTimeout(PAUSE_MS)
}
const strayCount = [...seen.values()].filter((all) => all.length !== 1).length
if (seen.size !== offerCount || strayCount > 0) throw new Error(`${strayCount} offers reached others, or came twice`)
if (cut.length > 0) throw new Error(`${cut.length} receivers were cut, ${cut[0]} first`)
print()

/** A share of the receivers, in a process of its own. Resolves when all of them are connected. */
async function connectShare(index: number): Promise<void> {
  const role = fileURLToPath(new URL('./roles/idle-receivers.ts', import.meta.url))
  const child = spawn(process.execPath, [role, portal.url], { stdio: ['pipe', 'pipe', 'inherit'] })
  stack.defer(() => end(child))
  for (const [at, { name, token }] of receivers.entries()) {
    if (at % RECEIVER_PROCESSES === index) child.stdin.write(`${JSON.stringify({ name, token })}\n`)
  }
  child.stdin.end()
  const lines = createInterface({ input: child.stdout })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  lines.on('line', (line) => {
    const message: ReceiversMessage = JSON.parse(line)
    if (message.type === 'current') resolve()
    if (message.type === 'closed') {
      cut.push(message.receiver)
      reject(new Error(`${message.receiver} was cut: ${message.said}`))
    }
    if (message.type === 'offer') noteOffer(message)
  })
  once(child, 'exit').then(([code]) => reject(new Error(`the receivers ended with ${code}`)), reject)
  await promise
}

function noteOffer({ receiver, at, offer }: ReceiversMessage & { type: 'offer' }): void {
  const one = { receiver, atNs: BigInt(at), offer }
  seen.set(offer.transferId, [...(seen.get(offer.transferId) ?? []), one])
  waiting.get(offer.transferId)?.(one)
}

/** A small file in one request, up to its offer. What is offered is taken and answered for afterwards. */
async function offerWhole(receiver: BenchAccount): Promise<number> {
  const content = randomBytes(SIZE_BYTES)
  const whole = wholeOf([receiver.name], 'file.bin', content)
  const { ms, offer } = await offered(receiver, (transferId) => client.putWhole(transferId, whole, content))
  const own = clientOf(portal.url, receiver.token)
  await fetchOnlyPart(own, offer, content)
  const { leaseId, transferId } = offer
  const { manifestDigest } = whole
  await own.disposition(transferId, { leaseId, disposition: 'received', manifestDigest })
  await own.close()
  return ms
}

/** A file whose content is still to come, up to its offer. */
async function offerAnnounced(receiver: BenchAccount): Promise<number> {
  const announcement = announcementOf([receiver.name], 'file.bin', SIZE_BYTES)
  const { ms, offer } = await offered(receiver, (transferId) => client.announce(transferId, announcement))
  await client.cancel(offer.transferId)
  return ms
}

async function offered(
  receiver: BenchAccount,
  announce: (transferId: string) => Promise<unknown>,
): Promise<{ ms: number; offer: Offer }> {
  const transferId = newTransferId()
  const { promise, resolve } = Promise.withResolvers<Seen>()
  waiting.set(transferId, resolve)
  const startedAtNs = process.hrtime.bigint()
  const announced = announce(transferId)
  const late = setTimeout(OFFER_TIMEOUT_MS, null, { ref: false })
  const arrived = await Promise.race([promise, late])
  await announced
  waiting.delete(transferId)
  if (arrived === null) throw new Error(`no offer came to ${receiver.name}`)
  if (arrived.receiver !== receiver.name) throw new Error(`an offer for ${receiver.name} came to ${arrived.receiver}`)
  return { ms: Number(arrived.atNs - startedAtNs) / NS_PER_MS, offer: arrived.offer }
}

async function openFilesMax(): Promise<number> {
  const limits = await readFile('/proc/self/limits', 'utf8')
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
}

async function connectionsMax(): Promise<number> {
  return Math.floor((await openFilesMax()) * CONNECTIONS_SHARE) - CONNECTIONS_SPARE
}

/** What `--json` prints, on the last line. */
export interface IdleFigures {
  readonly receivers: number
  readonly idleBytes: number
  /** Of one processor. */
  readonly idleCpuPercent: number
}

function print(): void {
  if (values.json) {
    const figures: IdleFigures = { receivers: receiverCount, idleBytes, idleCpuPercent: idleCpuMs / idleSeconds / 10 }
    process.stdout.write(`${JSON.stringify(figures)}\n`)
    return
  }
  const each = (idleBytes - emptyBytes) / receiverCount / KIB
  const figures = [
    ['connected, all in', `${short(connectingMs / 1000)} s`],
    [
      'portal: CPU for each connection',
      `${short((afterConnecting.cpuMs - beforeConnecting.cpuMs) / receiverCount)} ms`,
    ],
    ['portal: resident memory without receivers', `${megabytes(emptyBytes)} MB`],
    ['portal: resident memory, idle', `${megabytes(idleBytes)} MB (${short(each)} KiB for each)`],
    [
      'portal: CPU, idle',
      `${short(idleCpuMs / idleSeconds / 10)} % of one processor (${short(idleCpuMs / 1000)} s in ${idleSeconds} s)`,
    ],
    ...Object.entries({ 'file in one request': wholeMs, announcement: announcedMs }).map(([what, ms]) => [
      `${what} -> offer, p50, p99, max of ${ms.length}`,
      `${[percentile(ms, 0.5), percentile(ms, 0.99), Math.max(...ms)].map(short).join(', ')} ms`,
    ]),
    ['offers that reached another, or came twice', String(strayCount)],
  ]
  process.stdout.write(`${circumstances()}\n\n${table([`${receiverCount} idle receivers`, ''], figures)}`)
}
