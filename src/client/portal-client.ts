/**
 * The portal's HTTP interface, typed: one method a request. It sends once and says what came back; patience is the
 * caller's (`patience.ts`). Every method throws `RemoteProblem` when the portal said no, `NoAnswer` when nothing
 * intelligible came back, and the signal's reason when that aborts.
 */
import type { TSchema } from 'typebox'
import {
  AccountStatus,
  AccountWithKeys,
  type Announcement,
  Arriving,
  type Completion,
  DeliveryPage,
  type DigestAlgorithm,
  type Disposition,
  DispositionResult,
  EventPage,
  formatContentDigest,
  heartbeatMs,
  type JoinRequest,
  Limits,
  Notification,
  Offer,
  Operations,
  Progress,
  type PublicKeys,
  TransferPage,
  TransferStatus,
  type WholeTransfer,
  Withdrawal,
} from '../protocol/index.ts'
import { checked, drain, parsed, RemoteProblem, readAnswer, throwIfProblem } from './answers.ts'
import { eventStream } from './event-stream.ts'
import {
  type IncomingPart,
  incomingPartOf,
  type PartArguments,
  type PartElsewhere,
  partElsewhereOf,
} from './incoming-part.ts'
import { eventsPath, query } from './paths.ts'
import { type HttpRequest, type HttpResponse, NoAnswer, type Transport } from './transport.ts'

/** What bounds one request. */
export interface CallOptions {
  /** Without a sign of life for so long, the request is given up. */
  readonly stallMs?: number
  readonly signal?: AbortSignal
}

/** A message of the sender's event stream. `current` says that everything from before has been replayed. */
export type SenderEvent =
  | { readonly type: 'notification'; readonly notification: Notification }
  | { readonly type: 'progress'; readonly progress: Progress }
  | { readonly type: 'arriving'; readonly arriving: Arriving }
  | { readonly type: 'current' }

/** A message of the receiver's inbox. `current` says that everything that was waiting has been offered. */
export type InboxEvent =
  | {
      readonly type: 'offer'
      readonly offer: Offer
      /** The lease did not begin before this, by `performance.now()`; -Infinity where the portal does not say. */
      readonly leasedAtMs: number
    }
  | { readonly type: 'withdrawn'; readonly withdrawal: Withdrawal }
  | { readonly type: 'current' }

const STALL_MS_DEFAULT = 20_000
/** NTP lets a clock run faster or slower by up to 500 ppm, and crystals differ by less than that. */
const CLOCK_RATE_ERROR_MAX = 0.001
/** A stream is dead when so many heartbeats in a row did not come. */
const HEARTBEATS_MISSED_MAX = 3

export class PortalClient<Body extends AsyncIterable<Uint8Array> = AsyncIterable<Uint8Array>> {
  readonly #transport: Transport<Body>
  readonly #token: string | null

  /** @param token null for what needs no account: `limits` and `join` */
  constructor(transport: Transport<Body>, token: string | null) {
    this.#transport = transport
    this.#token = token
  }

  limits(options?: CallOptions): Promise<Limits> {
    return this.#json('GET', '/v1/limits', Limits, undefined, options)
  }

  join(request: JoinRequest, options?: CallOptions): Promise<AccountStatus> {
    return this.#json('POST', '/v1/join', AccountStatus, request, options)
  }

  account(options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('GET', '/v1/account', AccountWithKeys, undefined, options)
  }

  /** Sets the public keys of the account, in place of those it had. */
  setKeys(keys: PublicKeys, options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('PUT', '/v1/account/keys', AccountWithKeys, keys, options)
  }

  /** What the portal says of another account. @throws RemoteProblem `receiver-unknown` where there is none */
  accountOf(name: string, options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('GET', `/v1/accounts/${encodeURIComponent(name)}`, AccountWithKeys, undefined, options)
  }

  /** Announces a transfer, or finds that it is known already. */
  announce(transferId: string, announcement: Announcement, options?: CallOptions): Promise<TransferStatus> {
    return this.#json('PUT', `/v1/transfers/${transferId}`, TransferStatus, announcement, options)
  }

  transfer(transferId: string, options?: CallOptions): Promise<TransferStatus> {
    return this.#json('GET', `/v1/transfers/${transferId}`, TransferStatus, undefined, options)
  }

  /** The newest transfers of the account; `before` is the last page's `before`. */
  transfers(page: { before?: string; limit?: number } = {}, options?: CallOptions): Promise<TransferPage> {
    return this.#json('GET', `/v1/transfers${query(page)}`, TransferPage, undefined, options)
  }

  /** What waits for the account or was ever offered to it, newest first; `before` is the last page's `before`. */
  deliveries(page: { before?: string; limit?: number } = {}, options?: CallOptions): Promise<DeliveryPage> {
    return this.#json('GET', `/v1/deliveries${query(page)}`, DeliveryPage, undefined, options)
  }

  /** How the whole portal does. @throws RemoteProblem `not-found` unless the account is an operator's */
  operations(options?: CallOptions): Promise<Operations> {
    return this.#json('GET', '/v1/operations', Operations, undefined, options)
  }

  /** Sends one part. When it resolves, the portal holds the part, verified and durable. */
  async putPart(
    transferId: string,
    partNumber: number,
    part: { bytes: Uint8Array; digestAlgorithm: DigestAlgorithm; digest: string },
    options: CallOptions & Pick<HttpRequest, 'onSent' | 'onAlive' | 'elsewhere'> = {},
  ): Promise<void> {
    const response = await this.#send({
      method: 'PUT',
      path: `/v1/transfers/${transferId}/parts/${partNumber}`,
      headers: {
        'content-type': 'application/octet-stream',
        'content-digest': formatContentDigest(part.digestAlgorithm, part.digest),
      },
      body: part.bytes,
      ...options,
    })
    await throwIfProblem(response, stallMsOf(options))
    await drain(response, stallMsOf(options))
  }

  /** Sends a small file in one request. The same again gets the same answer, the first notification. */
  async putWhole(
    transferId: string,
    whole: WholeTransfer,
    content: Uint8Array,
    options: CallOptions = {},
  ): Promise<Notification> {
    const line = new TextEncoder().encode(`${JSON.stringify(whole)}\n`)
    const body = new Uint8Array(line.length + content.length)
    body.set(line)
    body.set(content, line.length)
    const response = await this.#send({
      method: 'PUT',
      path: `/v1/transfers/${transferId}/whole`,
      headers: { 'content-type': 'application/octet-stream' },
      body,
      ...options,
    })
    return readAnswer(response, Notification, stallMsOf(options))
  }

  /** Ends an attempt; the answer is the first notification. */
  complete(transferId: string, completion: Completion, options?: CallOptions): Promise<Notification> {
    return this.#json('POST', `/v1/transfers/${transferId}/complete`, Notification, completion, options)
  }

  /**
   * Cancels what has not ended of a transfer.
   *
   * @param onlyWhile changes nothing of a transfer that is in another state by then; the answer tells which
   */
  cancel(
    transferId: string,
    { onlyWhile, ...options }: CallOptions & { onlyWhile?: 'receiving' } = {},
  ): Promise<TransferStatus> {
    const path = `/v1/transfers/${transferId}${query({ state: onlyWhile })}`
    return this.#json('DELETE', path, TransferStatus, undefined, options)
  }

  /** One page of the account's event log, or of one transfer's. */
  events(
    page: { after?: string; limit?: number; transferId?: string } = {},
    options?: CallOptions,
  ): Promise<EventPage> {
    const { transferId, ...rest } = page
    return this.#json('GET', `${eventsPath(transferId)}${query(rest)}`, EventPage, undefined, options)
  }

  /**
   * Follows the event log until it breaks: everything after `after`, then what happens. Without `after` it starts
   * with what happens from now on.
   */
  async *watchEvents(
    from: { after?: string; transferId?: string } = {},
    options: CallOptions = {},
  ): AsyncGenerator<SenderEvent> {
    const headers = from.after === undefined ? {} : { 'last-event-id': from.after }
    for await (const { event, data } of this.#stream(eventsPath(from.transferId), headers, options)) {
      switch (event) {
        case 'notification':
          yield { type: 'notification', notification: checked(Notification, parsed(data)) }
          break
        case 'progress':
          yield { type: 'progress', progress: checked(Progress, parsed(data)) }
          break
        case 'arriving':
          yield { type: 'arriving', arriving: checked(Arriving, parsed(data)) }
          break
        case 'current':
          yield { type: 'current' }
          break
        // Other events are those of a newer portal: they mean nothing here.
      }
    }
  }

  /**
   * Follows the inbox until it breaks.
   *
   * @param receiver `instanceId` names this receiving process; `window` is how many offers it works on at once;
   *   unless `isInline` is false, small files come with their offers
   */
  async *watchInbox(
    { instanceId, window, isInline = true }: { instanceId: string; window: number; isInline?: boolean },
    options: CallOptions = {},
  ): AsyncGenerator<InboxEvent> {
    const askedAtMs = performance.now()
    const content = isInline ? { content: 'inline' } : {}
    const path = `/v1/inbox${query({ instance: instanceId, window, ...content })}`
    for await (const { event, data } of this.#stream(path, {}, options)) {
      switch (event) {
        case 'offer': {
          const offer = checked(Offer, parsed(data))
          yield { type: 'offer', offer, leasedAtMs: leasedAtMs(offer, askedAtMs) }
          break
        }
        case 'withdrawn':
          yield { type: 'withdrawn', withdrawal: checked(Withdrawal, parsed(data)) }
          break
        case 'current':
          yield { type: 'current' }
          break
      }
    }
  }

  /**
   * How an offer stands; renews its lease.
   *
   * @param wait holds the answer for so many seconds while the transfer is not stored (RFC 7240 section 4.3)
   */
  offer(
    transferId: string,
    { leaseId, waitSeconds, heldBytes }: { leaseId: string; waitSeconds: number; heldBytes: number },
    { stallMs = STALL_MS_DEFAULT, ...options }: CallOptions = {},
  ): Promise<Offer> {
    const path = `/v1/inbox/${transferId}${query({ lease: leaseId, held: heldBytes })}`
    const patient = { ...options, stallMs: stallMs + waitSeconds * 1000 }
    return this.#json('GET', path, Offer, undefined, patient, { prefer: `wait=${waitSeconds}` })
  }

  /**
   * Whether a delivery to this account is still open, so that what is there of it may yet be of use. Of an `unknown`
   * one this portal has never offered anything to this account, or has forgotten it.
   */
  async deliveryState(transferId: string, options?: CallOptions): Promise<'open' | 'ended' | 'unknown'> {
    try {
      await this.#json('GET', `/v1/inbox/${transferId}`, Offer, undefined, options)
    } catch (error) {
      if (!(error instanceof RemoteProblem)) throw error
      if (error.code === 'delivery-ended') return 'ended'
      if (error.code === 'not-found') return 'unknown'
      // Without a lease there is no offer to be had, but one to come.
      if (error.code !== 'lease-lost') throw error
    }
    return 'open'
  }

  /** Whether parts can be fetched elsewhere than at the portal. */
  get canFollowLinks(): boolean {
    return this.#transport.follow !== undefined
  }

  /**
   * Fetches a part; renews the lease.
   *
   * @param wait holds the answer for so many seconds while the part is on its way to the portal
   * @throws RemoteProblem `part-pending` when it had not come by then; Problem `digest-required`,
   *   `digest-invalid-value` or `digest-unsupported-algorithm` when the answer does not name the part's digest
   */
  async incomingPart(...[transferId, partNumber, question, options]: PartArguments): Promise<IncomingPart<Body>> {
    const { response, stallMs } = await this.#askPart('', transferId, partNumber, question, options)
    return incomingPartOf(response, question.digestAlgorithm, stallMs)
  }

  /** The same, but lets the portal name an address instead, from which `linkedContent` fetches. */
  async partOrLink(
    ...[transferId, partNumber, question, options]: PartArguments
  ): Promise<IncomingPart<Body> | PartElsewhere> {
    const { response, stallMs } = await this.#askPart(', redirect', transferId, partNumber, question, options)
    const elsewhere = await partElsewhereOf(response, question.digestAlgorithm, stallMs)
    return elsewhere ?? incomingPartOf(response, question.digestAlgorithm, stallMs)
  }

  /** Fetches what the portal named the address of. No token goes there. @throws NoAnswer unless the whole of it comes */
  async linkedContent(
    link: string,
    { stallMs = STALL_MS_DEFAULT, ...options }: CallOptions = {},
  ): Promise<HttpResponse<Body>> {
    const { follow } = this.#transport
    if (follow === undefined) throw new Error('this transport follows no links')
    const response = await follow(link, { stallMs, ...options })
    if (response.status === 200) return response
    response.discard()
    throw new NoAnswer(`HTTP status ${response.status} from the storage`)
  }

  /** The receiver's notification to the portal. The same again succeeds. */
  disposition(transferId: string, disposition: Disposition, options?: CallOptions): Promise<DispositionResult> {
    return this.#json('POST', `/v1/inbox/${transferId}/disposition`, DispositionResult, disposition, options)
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  async #askPart(
    preference: '' | ', redirect',
    ...[transferId, partNumber, { leaseId, heldBytes, waitSeconds }, options = {}]: PartArguments
  ): Promise<{ response: HttpResponse<Body>; stallMs: number }> {
    const stallMs = stallMsOf(options)
    const response = await this.#send({
      method: 'GET',
      path: `/v1/inbox/${transferId}/parts/${partNumber}${query({ lease: leaseId, held: heldBytes })}`,
      headers: { prefer: `wait=${waitSeconds}${preference}` },
      ...options,
      stallMs: stallMs + waitSeconds * 1000,
    })
    return { response, stallMs }
  }

  #send(
    request: Omit<HttpRequest, 'stallMs' | 'signal'> & CallOptions & { signal?: AbortSignal },
  ): Promise<HttpResponse<Body>> {
    const { stallMs = STALL_MS_DEFAULT, headers, ...rest } = request
    const authorization = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }
    return this.#transport.request({ ...rest, stallMs, headers: { ...authorization, ...headers } })
  }

  async #json<Schema extends TSchema>(
    method: HttpRequest['method'],
    path: string,
    schema: Schema,
    content: unknown,
    options: CallOptions = {},
    headers: Record<string, string> = {},
  ) {
    const body = content === undefined ? {} : { body: new TextEncoder().encode(JSON.stringify(content)) }
    const contentType = content === undefined ? {} : { 'content-type': 'application/json' }
    const response = await this.#send({ method, path, headers: { ...contentType, ...headers }, ...body, ...options })
    return readAnswer(response, schema, stallMsOf(options))
  }

  async *#stream(path: string, headers: Record<string, string>, options: CallOptions) {
    const response = await this.#send({
      method: 'GET',
      path,
      headers: { accept: 'text/event-stream', ...headers },
      ...options,
    })
    await throwIfProblem(response, stallMsOf(options))
    if (!response.header('content-type')?.startsWith('text/event-stream')) {
      throw new NoAnswer('the answer is not an event stream')
    }
    yield* eventStream(response, heartbeatMs * HEARTBEATS_MISSED_MAX)
  }
}

/** The stream began after it was asked for, and the lease `streamMs` later; the clocks of two machines go almost alike. */
function leasedAtMs({ streamMs }: Offer, askedAtMs: number): number {
  return streamMs === undefined ? Number.NEGATIVE_INFINITY : askedAtMs + streamMs * (1 - CLOCK_RATE_ERROR_MAX)
}

function stallMsOf({ stallMs = STALL_MS_DEFAULT }: CallOptions): number {
  return stallMs
}
