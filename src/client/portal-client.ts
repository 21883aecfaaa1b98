/**
 * The portal's HTTP interface, typed: one method a request. A method sends its request once; callers retry
 * (`retry-policy.ts`). Every method throws `RemoteProblem` when the portal refuses, `NoResponseError` when no valid answer
 * comes, and the signal's reason when that aborts.
 */
import type { TSchema } from 'typebox'
import {
  AccountStatus,
  AccountWithKeys,
  type Announcement,
  boundedLimits,
  type Completion,
  DeliveryPage,
  type DigestAlgorithm,
  type Disposition,
  DispositionResult,
  EventPage,
  formatContentDigest,
  heartbeatMs,
  InboxMessages,
  type InviteQuestion,
  InviteStatus,
  type JoinRequest,
  Limits,
  Notification,
  Offer,
  Operations,
  type PublicKeys,
  TransferPage,
  TransferStatus,
  type WholeTransfer,
} from '../protocol/index.ts'
import { type ConcurrencyBounds, concurrencyUpTo } from './adaptive-concurrency.ts'
import { drain, parsed, readAnswer, throwIfProblem } from './answers.ts'
import {
  type CallOptions,
  type InboxEvent,
  type InboxQuestion,
  type SenderEvent,
  stallTimeoutMsDefault,
  stallTimeoutMsOf,
} from './calls.ts'
import { deliveryStateBy, type OwnDeliveryState } from './delivery-state.ts'
import { eventStream } from './event-stream.ts'
import { batchBody, lineOf } from './framing.ts'
import { GuestCalls } from './guest-calls.ts'
import {
  type IncomingPart,
  incomingPartOf,
  type PartArguments,
  type PartElsewhere,
  partElsewhereOf,
} from './incoming-part.ts'
import { eventsPath, inboxPath, query } from './paths.ts'
import { RoundTrips } from './round-trips.ts'
import { inboxEvent, senderEvent } from './told.ts'
import { type HttpRequest, type HttpResponse, NoResponseError, type RateBounds, type Transport } from './transport.ts'
import { WebhookCalls } from './webhook-calls.ts'

/** After this many missed heartbeats in a row the client ends a stream. */
const HEARTBEATS_MISSED_MAX = 3

export class PortalClient<Body extends AsyncIterable<Uint8Array> = AsyncIterable<Uint8Array>> {
  readonly #transport: Transport<Body>
  readonly #token: string | null
  readonly roundTrips = new RoundTrips()
  /** How many parts of a file may be in flight at once. */
  readonly partsInFlight: ConcurrencyBounds
  /** Null where the rate is not limited. */
  readonly rateBounds: RateBounds | null
  /** Guests, and requests for files from people without an account. */
  readonly guests = new GuestCalls((...question) => this.#json(...question))
  readonly webhooks = new WebhookCalls((...question) => this.#json(...question))

  /** @param token null for requests that need no account: `limits`, `invite`, `join`, and those of a visitor in `guests` */
  constructor(transport: Transport<Body>, token: string | null) {
    this.#transport = transport
    this.#token = token
    this.rateBounds = transport.rateBounds ?? null
    this.partsInFlight = concurrencyUpTo(this.rateBounds?.connectionsMax)
  }

  /** The portal's limits, kept within those of the protocol. */
  async limits(options?: CallOptions): Promise<Limits> {
    return boundedLimits(await this.#json('GET', '/v1/limits', Limits, undefined, options))
  }

  /** What an invite is for. The invite is not used up. @throws RemoteProblem `invite-invalid` */
  invite(question: InviteQuestion, options?: CallOptions): Promise<InviteStatus> {
    return this.#json('POST', '/v1/invite', InviteStatus, question, options)
  }

  join(request: JoinRequest, options?: CallOptions): Promise<AccountStatus> {
    return this.#json('POST', '/v1/join', AccountStatus, request, options)
  }

  account(options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('GET', '/v1/account', AccountWithKeys, undefined, options)
  }

  /** Sets the public keys of the account. They replace the earlier ones. */
  setKeys(keys: PublicKeys, options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('PUT', '/v1/account/keys', AccountWithKeys, keys, options)
  }

  /** Another account and its public keys. @throws RemoteProblem `receiver-unknown` when there is no such account */
  accountOf(name: string, options?: CallOptions): Promise<AccountWithKeys> {
    return this.#json('GET', `/v1/accounts/${encodeURIComponent(name)}`, AccountWithKeys, undefined, options)
  }

  /** Announces a transfer. Repeating the announcement is harmless. */
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

  /** The deliveries to the account that wait or were ever offered, newest first; `before` is the last page's `before`. */
  deliveries(page: { before?: string; limit?: number } = {}, options?: CallOptions): Promise<DeliveryPage> {
    return this.#json('GET', `/v1/deliveries${query(page)}`, DeliveryPage, undefined, options)
  }

  /** The state of the whole portal. @throws RemoteProblem `not-found` unless the account is an operator's */
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
    await throwIfProblem(response, stallTimeoutMsOf(options))
    await drain(response, stallTimeoutMsOf(options))
  }

  /** Sends a small file in one request. A repetition gets the same answer: the first notification. */
  async putWhole(
    transferId: string,
    whole: WholeTransfer,
    content: Uint8Array,
    options: CallOptions = {},
  ): Promise<Notification> {
    const body = batchBody([{ line: lineOf(whole), content }])
    return this.sendBytes('PUT', `/v1/transfers/${transferId}/whole`, Notification, body, options)
  }

  /** Ends an attempt; the answer is the first notification. */
  complete(transferId: string, completion: Completion, options?: CallOptions): Promise<Notification> {
    return this.#json('POST', `/v1/transfers/${transferId}/complete`, Notification, completion, options)
  }

  /**
   * Cancels a transfer: all of its deliveries that have not ended.
   *
   * @param onlyWhile cancels only a transfer in this state. The answer tells the state
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
   * Follows the event log until the stream breaks: all events after `after`, then new ones. Without `after` it starts
   * with new events.
   */
  async *watchEvents(
    from: { after?: string; transferId?: string } = {},
    options: CallOptions = {},
  ): AsyncGenerator<SenderEvent> {
    const headers = from.after === undefined ? {} : { 'last-event-id': from.after }
    for await (const { event, data } of this.#stream(eventsPath(from.transferId), headers, options)) {
      const message = senderEvent(event, () => parsed(data))
      if (message !== null) yield message
    }
  }

  /**
   * The events after `after` in one answer, which the portal holds until there is one, for at most `waitSeconds`.
   *
   * @param after null to start from now: the portal answers at once, with no events but the position to continue from
   */
  heldEvents(after: string | null, waitSeconds: number, options: CallOptions = {}): Promise<EventPage> {
    const path = `${eventsPath(undefined)}${query({ after: after ?? undefined })}`
    return this.#held(path, EventPage, waitSeconds, options)
  }

  /**
   * Follows the inbox until it breaks.
   *
   * @param question `window` is how many offers this process works on at once. Small files come with their offers unless
   *   `isInline` is false
   * @throws RemoteProblem `instance-in-use` when another process of the same instance was there first
   */
  async *watchInbox(question: InboxQuestion, options: CallOptions = {}): AsyncGenerator<InboxEvent> {
    const askedAtMs = performance.now()
    const path = inboxPath(question)
    for await (const { event, data } of this.#stream(path, {}, options)) {
      const message = inboxEvent(event, () => parsed(data), askedAtMs)
      if (message !== null) yield message
    }
  }

  /**
   * The messages of the inbox in one answer, which the portal holds until there is one, for at most `waitSeconds`.
   *
   * @param open the transfers whose offers are being worked on; null starts from the beginning, as a stream does
   */
  async heldInbox(
    { open, ...question }: InboxQuestion & { open: readonly string[] | null },
    waitSeconds: number,
    options: CallOptions = {},
  ): Promise<InboxEvent[]> {
    const askedAtMs = performance.now()
    const { messages } = await this.#held(inboxPath(question, open ?? undefined), InboxMessages, waitSeconds, options)
    return messages
      .map(({ event, data }) => inboxEvent(event, () => data, askedAtMs))
      .filter((message) => message !== null)
  }

  /**
   * The current state of an offer. The request renews its lease.
   *
   * @param waitSeconds how long the portal holds the answer while the transfer is not stored (RFC 7240 section 4.3)
   */
  offer(
    transferId: string,
    { leaseId, waitSeconds, heldBytes }: { leaseId: string; waitSeconds: number; heldBytes: number },
    options: CallOptions = {},
  ): Promise<Offer> {
    return this.#held(
      `/v1/inbox/${transferId}${query({ lease: leaseId, held: heldBytes })}`,
      Offer,
      waitSeconds,
      options,
    )
  }

  /**
   * Whether a delivery to this account is still open, so that its partial file may still be needed. `unknown` when this portal
   * never offered the transfer to this account, or has forgotten it.
   */
  deliveryState(transferId: string, options?: CallOptions): Promise<OwnDeliveryState> {
    return deliveryStateBy(() => this.#json('GET', `/v1/inbox/${transferId}`, Offer, undefined, options))
  }

  /** Whether this client can fetch parts from the portal's storage directly. */
  get canFollowLinks(): boolean {
    return this.#transport.follow !== undefined
  }

  /**
   * Fetches a part. The request renews the lease.
   *
   * @param waitSeconds how long the portal holds the answer while the part is on its way to the portal
   * @throws RemoteProblem `part-pending` when it has not arrived by then; Problem `digest-required`,
   *   `digest-invalid-value` or `digest-unsupported-algorithm` when the answer does not name the part's digest
   */
  async incomingPart(...[transferId, partNumber, question, options]: PartArguments): Promise<IncomingPart<Body>> {
    const { response, stallTimeoutMs } = await this.#askPart('', transferId, partNumber, question, options)
    return incomingPartOf(response, question.digestAlgorithm, stallTimeoutMs)
  }

  /** Like `incomingPart`, but the portal may answer with an address, from which `linkedContent` fetches. */
  async partOrLink(
    ...[transferId, partNumber, question, options]: PartArguments
  ): Promise<IncomingPart<Body> | PartElsewhere> {
    const { response, stallTimeoutMs } = await this.#askPart(', redirect', transferId, partNumber, question, options)
    const elsewhere = await partElsewhereOf(response, question.digestAlgorithm, stallTimeoutMs)
    return elsewhere ?? incomingPartOf(response, question.digestAlgorithm, stallTimeoutMs)
  }

  /** Fetches a part from an address that the portal gave. No token is sent there. @throws NoResponseError unless all of it comes */
  async linkedContent(
    link: string,
    { stallTimeoutMs = stallTimeoutMsDefault, ...options }: CallOptions = {},
  ): Promise<HttpResponse<Body>> {
    const { follow } = this.#transport
    if (follow === undefined) throw new Error('this transport follows no links')
    const response = await follow(link, { stallTimeoutMs, ...options })
    if (response.status === 200) return response
    response.discard()
    throw new NoResponseError(`HTTP status ${response.status} from the storage`)
  }

  /** The receiver's notification to the portal. Repeating it is harmless. */
  disposition(transferId: string, disposition: Disposition, options?: CallOptions): Promise<DispositionResult> {
    return this.#json('POST', `/v1/inbox/${transferId}/disposition`, DispositionResult, disposition, options)
  }

  /** Sends bytes that are answered in JSON: a small file, or a batch (`batches.ts`). */
  async sendBytes<Schema extends TSchema>(
    method: 'PUT' | 'POST',
    path: string,
    schema: Schema,
    body: Uint8Array,
    options: CallOptions = {},
    contentType = 'application/octet-stream',
  ) {
    const response = await this.#send({ method, path, headers: { 'content-type': contentType }, body, ...options })
    return readAnswer(response, schema, stallTimeoutMsOf(options))
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  async #askPart(
    preference: '' | ', redirect',
    ...[transferId, partNumber, question, options = {}]: PartArguments
  ): Promise<{ response: HttpResponse<Body>; stallTimeoutMs: number }> {
    const { leaseId, heldBytes, waitSeconds, digestAlgorithm: _, ...length } = question
    const stallTimeoutMs = stallTimeoutMsOf(options)
    const response = await this.#send({
      method: 'GET',
      path: `/v1/inbox/${transferId}/parts/${partNumber}${query({ lease: leaseId, held: heldBytes })}`,
      headers: { prefer: `wait=${waitSeconds}${preference}` },
      ...length,
      ...options,
      stallTimeoutMs: stallTimeoutMs + waitSeconds * 1000,
    })
    return { response, stallTimeoutMs }
  }

  #send(
    request: Omit<HttpRequest, 'stallTimeoutMs' | 'signal'> & CallOptions & { signal?: AbortSignal },
  ): Promise<HttpResponse<Body>> {
    const { stallTimeoutMs = stallTimeoutMsDefault, headers, ...rest } = request
    const authorization = this.#token === null ? {} : { authorization: `Bearer ${this.#token}` }
    return this.#transport.request({ ...rest, stallTimeoutMs, headers: { ...authorization, ...headers } })
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
    const askedAtMs = performance.now()
    const response = await this.#send({ method, path, headers: { ...contentType, ...headers }, ...body, ...options })
    // The time of a held answer says nothing about the path.
    if (method === 'GET' && headers.prefer === undefined) this.roundTrips.note(performance.now() - askedAtMs)
    return readAnswer(response, schema, stallTimeoutMsOf(options))
  }

  /** An answer that the portal holds for up to `waitSeconds` (RFC 7240 section 4.3). */
  #held<Schema extends TSchema>(path: string, schema: Schema, waitSeconds: number, options: CallOptions) {
    const patient = { ...options, stallTimeoutMs: stallTimeoutMsOf(options) + waitSeconds * 1000 }
    const headers = { accept: 'application/json', prefer: `wait=${waitSeconds}` }
    return this.#json('GET', path, schema, undefined, patient, headers)
  }

  async *#stream(path: string, headers: Record<string, string>, options: CallOptions) {
    const response = await this.#send({
      method: 'GET',
      path,
      headers: { accept: 'text/event-stream', ...headers },
      ...options,
    })
    await throwIfProblem(response, stallTimeoutMsOf(options))
    const type = response.header('content-type') ?? ''
    if (!type.startsWith('text/event-stream')) throw new NoResponseError('the answer is not an event stream')
    yield* eventStream(response, heartbeatMs * HEARTBEATS_MISSED_MAX)
  }
}
