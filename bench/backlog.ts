/**
 * What a backlog costs: a portal over a ledger that holds so many stored, undelivered transfers, made by the ledger's own
 * contract in a real file. Measured by bare requests, one after another: an announcement, a file of 4 KiB in one request, its
 * offer, and the disposition of it.
 * - `elsewhere`: the backlog waits for a thousand others, and the offer is from the request to its arrival;
 * - `own`: all of it waits for the very receiver, and the offer is the next one of the backlog, from the disposition that
 *   makes room for it to its arrival.
 * The portals of all sizes run side by side, and take turns in every round.
 *
 *     npm run bench -- backlog [--sizes N,N,…] [--rounds N] [--samples N] [--plots FOLDER]
 */
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openLedger, portalDefaults } from '../src/portal/index.ts'
import type { Ledger } from '../src/portal/ledger/contract.ts'
import { newTransferId, type Offer } from '../src/protocol/index.ts'
import { clientOf, openAccounts } from './accounts.ts'
import { circumstances, KIB, mebibytes, median, range, short, table } from './figures.ts'
import { plotFolder, pointOf, savePlot } from './plot.ts'
import { PortalProcess } from './portal-process.ts'
import { announcementOf, type Client, digestOfPart, fetchOnlyPart, wholeOf } from './requests.ts'

const SIZES_DEFAULT = '100,1000,10000,100000'
const ROUNDS_DEFAULT = 5
const SAMPLES_DEFAULT = 30
const SIZE_BYTES = 4 * KIB
const OTHERS_MAX = 1_000
/** How many transfers go into the ledger together. */
const DEPOSITS_AT_ONCE = 1_000
/** Above any backlog: what is measured is not how the portal says no. */
const TRANSFERS_MAX = 100_000_000
/** Longer than any run: an offer stays open while other portals have their turn. */
const LEASE = '1h'
const KINDS = { elsewhere: 'for others', own: 'for this receiver' } as const
const OPERATIONS = ['announcement', 'file in one request', 'offer', 'disposition'] as const

type Kind = keyof typeof KINDS
type Operation = (typeof OPERATIONS)[number]
/** Milliseconds. */
type Costs = Record<Operation, number>

const { values } = parseArgs({
  args: process.argv.slice(2),
  options: {
    sizes: { type: 'string', default: SIZES_DEFAULT },
    rounds: { type: 'string' },
    samples: { type: 'string' },
    plots: { type: 'string', default: plotFolder },
  },
})
const sizes = values.sizes.split(',').map(Number)
const rounds = Number(values.rounds ?? ROUNDS_DEFAULT)
const sampleCount = Number(values.samples ?? SAMPLES_DEFAULT)
const content = randomBytes(SIZE_BYTES)
const { manifestDigest } = wholeOf(['bob'], 'file.bin', content)

/** A portal with its backlog, and who asks it for something. */
class Subject implements AsyncDisposable {
  readonly kind: Kind
  readonly size: number
  readonly rounds: Costs[] = []
  readonly portal: PortalProcess
  readonly #sender: Client
  readonly #receiver: Client
  readonly #offers: AsyncIterator<Offer>
  /** Where the backlog is the receiver's own, one offer is open all the time. */
  #open: Offer | null = null

  private constructor(kind: Kind, size: number, portal: PortalProcess, tokens: { alice: string; bob: string }) {
    this.kind = kind
    this.size = size
    this.portal = portal
    this.#sender = clientOf(portal.url, tokens.alice)
    this.#receiver = clientOf(portal.url, tokens.bob)
    this.#offers = offersTo(this.#receiver)
  }

  static async prepare(folder: string, kind: Kind, size: number): Promise<Subject> {
    const others = Array.from({ length: Math.min(OTHERS_MAX, size) }, (_, index) => `other-${index + 1}`)
    const [alice, bob] = await openAccounts(folder, ['alice', 'bob', ...others])
    if (alice === undefined || bob === undefined) throw new Error('the accounts are missing')
    const ledger = await openLedger({ dataFolder: folder })
    await fill(ledger, alice.accountId, size, kind === 'own' ? ['bob'] : others)
    await ledger.close()
    const portal = await PortalProcess.start(folder, ['--max-transfers', String(TRANSFERS_MAX), '--lease', LEASE])
    return new Subject(kind, size, portal, { alice: alice.token, bob: bob.token })
  }

  /** @returns the medians of a round */
  async measure(): Promise<Costs> {
    const samples: Costs[] = []
    this.#open ??= this.kind === 'own' ? await this.#nextOffer() : null
    for (let count = 0; count < sampleCount; count++) {
      samples.push(this.kind === 'own' ? await this.#cycleOfOwn() : await this.#cycleElsewhere())
    }
    const medianOf = (operation: Operation): number => median(samples.map((costs) => costs[operation]))
    return {
      announcement: medianOf('announcement'),
      'file in one request': medianOf('file in one request'),
      offer: medianOf('offer'),
      disposition: medianOf('disposition'),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#sender.close(), this.#receiver.close()])
    await this.portal[Symbol.asyncDispose]()
  }

  async #cycleElsewhere(): Promise<Costs> {
    const announcement = await this.#announce('other-1')
    const startedAtMs = performance.now()
    const sending = this.#sendWhole()
    const open = await this.#nextOffer()
    const offer = performance.now() - startedAtMs
    const whole = await sending
    return { announcement, 'file in one request': whole, offer, disposition: await this.#take(open) }
  }

  async #cycleOfOwn(): Promise<Costs> {
    const announcement = await this.#announce('bob')
    const whole = await this.#sendWhole()
    if (this.#open === null) throw new Error('nothing is on offer')
    const next = this.#nextOffer()
    const disposition = await this.#take(this.#open)
    const answeredAtMs = performance.now() - disposition
    this.#open = await next
    const offer = performance.now() - answeredAtMs
    return { announcement, 'file in one request': whole, offer, disposition }
  }

  /** An announcement that comes to nothing. */
  async #announce(to: string): Promise<number> {
    const transferId = newTransferId()
    const announcement = announcementOf([to], 'file.bin', SIZE_BYTES)
    const ms = await timed(() => this.#sender.announce(transferId, announcement))
    await this.#sender.cancel(transferId)
    return ms
  }

  #sendWhole(): Promise<number> {
    return timed(() => this.#sender.putWhole(newTransferId(), wholeOf(['bob'], 'file.bin', content), content))
  }

  async #nextOffer(): Promise<Offer> {
    const next = await this.#offers.next()
    if (next.done === true) throw new Error('the inbox was closed')
    return next.value
  }

  /** Takes what is offered, and answers for it. @returns how long the answer took */
  async #take({ transferId, leaseId }: Offer): Promise<number> {
    await fetchOnlyPart(this.#receiver, { transferId, leaseId }, content)
    return timed(() => this.#receiver.disposition(transferId, { leaseId, disposition: 'received', manifestDigest }))
  }
}

await using stack = new AsyncDisposableStack()
const folder = await mkdtemp(join(tmpdir(), 'golooader-bench-'))
stack.defer(() => rm(folder, { recursive: true, force: true }))
const subjects: Subject[] = []
for (const kind of Object.keys(KINDS) as Kind[]) {
  for (const size of sizes) {
    subjects.push(stack.use(await Subject.prepare(join(folder, `${kind}-${size}`), kind, size)))
    process.stderr.write(`${size} transfers wait ${KINDS[kind]}\n`)
  }
}
const cpuMs = new Map(subjects.map((subject) => [subject, 0]))
// The first round warms caches and compilers, and does not count.
for (let round = 0; round <= rounds; round++) {
  for (const subject of subjects) {
    const before = await subject.portal.usage()
    const costs = await subject.measure()
    if (round === 0) continue
    subject.rounds.push(costs)
    cpuMs.set(subject, (cpuMs.get(subject) ?? 0) + (await subject.portal.usage()).cpuMs - before.cpuMs)
  }
  process.stderr.write(`round ${round} of ${rounds}\n`)
}
process.stdout.write(`${circumstances()}\n`)
for (const kind of Object.keys(KINDS) as Kind[]) await tell(kind)

async function fill(ledger: Ledger, senderId: number, size: number, receivers: readonly string[]): Promise<void> {
  const unbounded = Number.MAX_SAFE_INTEGER
  const { expiryMs, uploadTimeoutMs } = portalDefaults
  const bounds = {
    accountBytesMax: unbounded,
    accountTransfersMax: unbounded,
    accountUploadsMax: 100,
    accountGuestsMax: 1000,
    accountGuestBytesMax: 1e12,
    storageBytesMax: unbounded,
  }
  const admission = { ...bounds, expiryMs, uploadTimeoutMs, freeBytes: null }
  const whole = { manifestDigest, manifest: null, digest: digestOfPart(content), content }
  const storeInline = (index: number) => {
    const to = [receivers[index % receivers.length] ?? '']
    const announcement = announcementOf(to, 'file.bin', SIZE_BYTES)
    return ledger.storeInline({ ...announcement, transferId: newTransferId(), senderId }, admission, whole)
  }
  for (let at = 0; at < size; at += DEPOSITS_AT_ONCE) {
    const count = Math.min(DEPOSITS_AT_ONCE, size - at)
    await Promise.all(Array.from({ length: count }, (_, index) => storeInline(at + index)))
  }
}

/** The offers of an inbox, as they come. */
async function* offersTo(receiver: Client): AsyncGenerator<Offer> {
  for await (const event of receiver.watchInbox({ instanceId: 'bench-backlog', window: 1 })) {
    if (event.type === 'offer') yield event.offer
  }
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const startedAtMs = performance.now()
  await act()
  return performance.now() - startedAtMs
}

async function tell(kind: Kind): Promise<void> {
  const own = subjects.filter((subject) => subject.kind === kind)
  const [smallest] = own
  const rows = await Promise.all(
    own.map(async (subject) => [
      String(subject.size),
      ...OPERATIONS.map((operation) => {
        const ms = subject.rounds.map((costs) => costs[operation])
        const ratios = subject.rounds.map((costs, at) => costs[operation] / (smallest?.rounds[at]?.[operation] ?? 0))
        return `${short(median(ms))} (${range(ms, short)}); ${short(median(ratios))}`
      }),
      short((cpuMs.get(subject) ?? 0) / (rounds * sampleCount)),
      mebibytes(await subject.portal.residentBytes()),
    ]),
  )
  const operations = OPERATIONS.map((operation) => `${operation}: ms (min-max); / first`)
  const head = [`wait ${KINDS[kind]}`, ...operations, 'portal: CPU ms for all of it', 'portal: MiB']
  process.stdout.write(`\n${table(head, rows)}`)
  await savePlot(values.plots, `backlog-${kind}`, {
    title: `Cost against backlog: what waits ${KINDS[kind]}`,
    circumstances: circumstances(),
    x: { label: 'stored, undelivered transfers', scale: 'log' },
    y: { label: 'milliseconds', scale: 'linear' },
    series: OPERATIONS.map((operation) => ({
      name: operation,
      points: own.map(({ size, rounds: all }) =>
        pointOf(
          size,
          all.map((costs) => costs[operation]),
        ),
      ),
    })),
  })
}
