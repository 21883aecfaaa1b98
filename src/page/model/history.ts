/** All sent and received transfers that the portal remembers. Only this browser can open their names. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { type PortalClient, RemoteProblem } from '../../client/index.ts'
import {
  isFinalDelivery,
  isFinalTransfer,
  isGuestName,
  isTransferId,
  Problem,
  type ReceivedDelivery,
  type RequestOfTransfer,
  type TransferStatus,
  type TransferSummary,
} from '../../protocol/index.ts'
import type { CommitRecord } from '../../receiver/index.ts'
import { type CheckedReceipt, checkReceipts } from '../../sender/index.ts'
import { type AccountKeys, type Contacts, receiptText, signReceipt } from '../../trust/index.ts'
import { knownSizeBytes, type Picture, pictureOf, type ReceiverHop, secondHop } from './hops.ts'
import { Names } from './names.ts'
import { receivedSteps, sentSteps } from './timeline.ts'
import type { History, HistoryLine, ReceiptLine, TransferDetail } from './types.ts'

const PAGE_SIZE = 100
/** Frequent changes are combined: the history reloads once, a little later. */
const CALM_MS = 400

export interface HistoryOptions {
  readonly client: PortalClient
  readonly account: string
  readonly keys: AccountKeys
  readonly contacts: Contacts
  /** What this browser has recorded of a transfer that it received. */
  readonly recordOf: (transferId: string) => Promise<CommitRecord | null>
  /** Opens the label of a request of this account; null where this browser cannot. */
  readonly labelOf?: (request: RequestOfTransfer) => Promise<string | null>
  /** False for an account that can only send. */
  readonly receives?: boolean
  readonly signal: AbortSignal
}

/** One of the two lists, with the pages that are loaded so far. */
interface Loaded<Item> {
  readonly items: readonly Item[]
  /** The cursor of the next page; null on the last page. */
  readonly before: string | null
}

export class PageHistory implements History {
  readonly lines: ReadonlySignal<readonly HistoryLine[]>
  readonly isLoading: ReadonlySignal<boolean>
  readonly hasMore: ReadonlySignal<boolean>
  readonly #options: HistoryOptions
  readonly #names: Names
  readonly #lines = signal<readonly HistoryLine[]>([])
  readonly #isLoading = signal(false)
  readonly #hasMore = signal(false)
  #sent: Loaded<TransferSummary> = { items: [], before: null }
  #received: Loaded<ReceivedDelivery> = { items: [], before: null }
  #isLoaded = false
  #later: ReturnType<typeof setTimeout> | null = null

  constructor(options: HistoryOptions) {
    this.#options = options
    this.#names = new Names(options.account, options.keys)
    this.lines = this.#lines
    this.isLoading = this.#isLoading
    this.hasMore = this.#hasMore
  }

  /** The newest transfers of both lists. */
  async load(): Promise<void> {
    await this.#busy(async () => {
      const { client, receives = true, signal: stop } = this.#options
      const [sent, received] = await Promise.all([
        client.transfers({ limit: PAGE_SIZE }, { signal: stop }),
        receives ? client.deliveries({ limit: PAGE_SIZE }, { signal: stop }) : { deliveries: [], before: null },
      ])
      this.#sent = {
        items: withNewer(sent.transfers, this.#sent.items),
        before: beforeOf(sent.transfers, sent.before, this.#sent),
      }
      const { deliveries } = received
      this.#received = {
        items: withNewer(deliveries, this.#received.items),
        before: beforeOf(deliveries, received.before, this.#received),
      }
      this.#isLoaded = true
    })
  }

  async loadMore(): Promise<void> {
    await this.#busy(async () => {
      const { client, signal: stop } = this.#options
      const { before: sentBefore } = this.#sent
      const { before: receivedBefore } = this.#received
      if (sentBefore !== null) {
        const page = await client.transfers({ limit: PAGE_SIZE, before: sentBefore }, { signal: stop })
        this.#sent = withOlder(this.#sent, page.transfers, page.before)
      }
      if (receivedBefore !== null) {
        const page = await client.deliveries({ limit: PAGE_SIZE, before: receivedBefore }, { signal: stop })
        this.#received = withOlder(this.#received, page.deliveries, page.before)
      }
    })
  }

  /** Something changed. A visible history reloads soon. */
  changed(): void {
    if (!this.#isLoaded || this.#later !== null) return
    this.#later = setTimeout(() => {
      this.#later = null
      // Other parts of the page already show that the portal does not answer.
      void this.load().catch(() => {})
    }, CALM_MS)
  }

  async detail(transferId: string, isOwn: boolean): Promise<TransferDetail> {
    return isOwn ? this.#sentDetail(transferId) : this.#receivedDetail(transferId)
  }

  async cancel(transferId: string): Promise<void> {
    const { client, signal: stop } = this.#options
    await client.cancel(transferId, { signal: stop })
    await this.load()
  }

  async #sentDetail(transferId: string): Promise<TransferDetail> {
    const { client, keys, contacts, signal: stop } = this.#options
    const status = await client.transfer(transferId, { signal: stop }).catch(toPlainWords)
    const { notifications } = status
    const line = await this.#sentLine(status)
    const { isSealed } = await this.#names.of(status)
    const accountOf = (name: string) => client.accountOf(name, { signal: stop })
    const given = await checkReceipts(status, { contacts, keys, accountOf }).catch((error: unknown) => {
      if (error instanceof Problem) return problemForAll(status.to, error)
      throw error
    })
    const checked = [...given, ...(await withoutReceipt(status, given, contacts))]
    const unproven = new Map(
      checked.flatMap(({ receiver, problem }) => (problem === null ? [] : [[receiver, problem] as const])),
    )
    return {
      ...line,
      picture: provenPicture(pictureOf(status, notifications), unproven),
      steps: sentSteps(status, new Set(unproven.keys())),
      receipts: checked.map(receiptLine),
      signedBy: null,
      isOpen: !isFinalTransfer(status.state),
      expiresAt: status.expiresAt,
      isSealed,
    }
  }

  async #receivedDetail(transferId: string): Promise<TransferDetail> {
    if (!isTransferId(transferId)) throw new Error('There is no such transfer.')
    const { client, signal: stop } = this.#options
    // The list is sorted by id, newest first.
    const page = await client.deliveries({ limit: 1, before: idAfter(transferId) }, { signal: stop })
    const delivery = page.deliveries.find((one) => one.transferId === transferId)
    if (delivery === undefined) throw new Error('The portal does not remember it any more.')
    const { isSealed } = await this.#names.of(delivery)
    return {
      ...(await this.#receivedLine(delivery)),
      steps: receivedSteps(delivery),
      ...(await this.#ownReceipt(delivery)),
      isOpen: !isFinalDelivery(delivery.state),
      expiresAt: delivery.expiresAt,
      isSealed,
    }
  }

  /** What this browser signed for, and the sender's signature that it verified before it published the file. */
  async #ownReceipt(delivery: ReceivedDelivery): Promise<Pick<TransferDetail, 'receipts' | 'signedBy'>> {
    const { account, keys, recordOf } = this.#options
    const { transferId, state } = delivery
    const record = await recordOf(transferId)
    const signedBy = record?.signedBy ?? null
    const claims = record?.receipt ?? null
    if (claims === null || state !== 'delivered') return { receipts: [], signedBy }
    const receipt = await signReceipt({ ...claims, receiver: account }, keys)
    try {
      const salt = await this.#names.saltOf(delivery)
      const text = receiptText({ transferId, receiver: account, receipt, keys: keys.publicKeys, salt })
      return { receipts: [{ receiver: account, isProven: true, problem: null, text }], signedBy }
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      return { receipts: [{ receiver: account, isProven: false, problem: error.toJSON(), text: null }], signedBy }
    }
  }

  async #busy(act: () => Promise<void>): Promise<void> {
    this.#isLoading.value = true
    try {
      await act()
      const lines = await Promise.all([
        ...this.#sent.items.map((one) => this.#sentLine(one)),
        ...this.#received.items.map((one) => this.#receivedLine(one)),
      ])
      this.#lines.value = lines.sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1))
      this.#hasMore.value = this.#sent.before !== null || this.#received.before !== null
    } finally {
      this.#isLoading.value = false
    }
  }

  async #sentLine(transfer: TransferSummary): Promise<HistoryLine> {
    const { transferId, from, to, createdAt, deliveries, state } = transfer
    const { name, sizeBytes, tree } = await this.#names.of(transfer)
    const failed = deliveries.filter((one) => one.state === 'failed').length
    const isLost = state === 'refused' || state === 'expired' || state === 'cancelled'
    return {
      ...{ transferId, isOwn: true, name, sizeBytes, tree, from, label: null, to, createdAt },
      isSizeKnown: transfer.isSizeKnown !== false,
      picture: pictureOf(transfer),
      outcome: sentOutcome(transfer, failed),
      isBad: state !== 'cancelled' && (isLost || failed > 0),
    }
  }

  async #receivedLine(delivery: ReceivedDelivery): Promise<HistoryLine> {
    const { transferId, from, createdAt, state, fetchedBytes, offers, problem, storedAt, request } = delivery
    const { account, labelOf } = this.#options
    const { name, sizeBytes, tree } = await this.#names.of(delivery)
    const status = { receiver: account, state, fetchedBytes, offers, ...(problem === undefined ? {} : { problem }) }
    const isStored = storedAt !== undefined || state === 'delivered'
    // A label that does not open must not hide the list.
    const label = request === undefined ? null : ((await labelOf?.(request).catch(() => null)) ?? null)
    return {
      ...{ transferId, isOwn: false, name, sizeBytes, tree, from, label, to: [account], createdAt },
      isSizeKnown: delivery.isSizeKnown !== false,
      picture: {
        sender: from,
        first: isStored
          ? { state: 'done', at: storedAt ?? null }
          : { state: 'held', doneBytes: 0, sizeBytes: knownSizeBytes(delivery) },
        second: [{ receiver: account, hop: secondHop(status, knownSizeBytes(delivery)) }],
      },
      outcome: receivedOutcome(delivery),
      isBad: state === 'failed' && problem?.code !== 'cancelled',
    }
  }
}

function sentOutcome({ state, deliveries, problem }: TransferSummary, failed: number): string {
  switch (state) {
    case 'receiving':
      return 'uploading'
    case 'stored':
      return failed > 0 ? 'stored, some failed' : 'stored'
    case 'ended':
      if (failed === 0) return 'delivered'
      return failed === deliveries.length ? 'failed' : `${failed} of ${deliveries.length} failed`
    default:
      return problem?.code === 'cancelled' ? 'cancelled' : state
  }
}

function receivedOutcome({ state, problem, storedAt }: ReceivedDelivery): string {
  switch (state) {
    case 'waiting':
      return storedAt === undefined ? 'on its way' : 'waiting'
    case 'offered':
      return 'offered'
    case 'delivered':
      return 'received'
    case 'failed':
      return problem?.code ?? 'failed'
  }
}

function receiptLine({ receiver, receipt, problem }: CheckedReceipt): ReceiptLine {
  return receipt === null
    ? { receiver, isProven: false, problem: problem.toJSON(), text: null }
    : { receiver, isProven: true, problem: null, text: receiptText(receipt) }
}

/** A problem of the transfer applies to each of its receipts. */
function problemForAll(receivers: readonly string[], problem: Problem): CheckedReceipt[] {
  return receivers.map((receiver) => ({ receiver, receipt: null, problem }))
}

/**
 * A receiver with known keys signs what it received. Where the portal shows no signature, the page does not believe the
 * delivery.
 */
async function withoutReceipt(
  { deliveries }: TransferStatus,
  given: readonly CheckedReceipt[],
  contacts: Contacts,
): Promise<CheckedReceipt[]> {
  const lacking: CheckedReceipt[] = []
  for (const { receiver, state } of deliveries) {
    if (state !== 'delivered' || given.some((one) => one.receiver === receiver)) continue
    if (!isGuestName(receiver) && (await contacts.known(receiver)) === null) continue
    const problem = new Problem('receipt-invalid', { detail: 'the portal gave none' })
    lacking.push({ receiver, receipt: null, problem })
  }
  return lacking
}

/** The page draws a delivery as done only where the receipt proves it. */
function provenPicture(picture: Picture, unproven: ReadonlyMap<string, Problem>): Picture {
  const second = picture.second.map(({ receiver, hop }): ReceiverHop => {
    const problem = unproven.get(receiver)
    if (problem === undefined || hop.state !== 'done') return { receiver, hop }
    return { receiver, hop: { state: 'failed', problem: problem.toJSON(), at: hop.at } }
  })
  return { ...picture, second }
}

/** The newer items, followed by the older items that were loaded before. */
function withNewer<Item extends { readonly transferId: string }>(
  newer: readonly Item[],
  known: readonly Item[],
): readonly Item[] {
  const fresh = new Set(newer.map(({ transferId }) => transferId))
  const last = newer.at(-1)?.transferId
  const older = known.filter(({ transferId }) => !fresh.has(transferId) && last !== undefined && transferId < last)
  return [...newer, ...older]
}

/**
 * The cursor after a newer first page is merged. Older pages that are loaded keep their cursor. A page may have fewer
 * items than requested.
 */
function beforeOf<Item extends { readonly transferId: string }>(
  page: readonly Item[],
  before: string | null,
  known: Loaded<Item>,
): string | null {
  const last = page.at(-1)?.transferId
  const isFurther = last !== undefined && known.items.some(({ transferId }) => transferId < last)
  return isFurther ? known.before : before
}

/**
 * Appends the next page. Items that are not older than the cursor are ignored. A cursor that does not move back ends
 * the list.
 */
function withOlder<Item extends { readonly transferId: string }>(
  known: Loaded<Item>,
  page: readonly Item[],
  before: string | null,
): Loaded<Item> {
  const last = known.before ?? ''
  const older = page.filter(({ transferId }) => transferId < last)
  return { items: [...known.items, ...older], before: before !== null && before < last ? before : null }
}

/** The next id in sort order. */
function idAfter(transferId: string): string {
  const hex = (BigInt(`0x${transferId.replaceAll('-', '')}`) + 1n).toString(16).padStart(32, '0')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function toPlainWords(error: unknown): never {
  if (error instanceof RemoteProblem && error.code === 'not-found') {
    throw new Error('The portal does not remember it, or it is not yours.', { cause: error })
  }
  throw error
}
