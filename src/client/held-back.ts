/**
 * Long polling for clients behind proxies that hold event streams back. Some proxies pass an answer on only when it has ended, and a
 * stream never ends. The client detects this when a stream does not begin although small requests are answered. It then asks the
 * portal again and again, and the portal holds each answer until there is something to tell.
 */
import { backoffMs, sleep } from '../async/index.ts'
import { type EventPage, waitSecondsMax } from '../protocol/index.ts'
import { RemoteProblem } from './answers.ts'
import {
  type CallOptions,
  type InboxEvent,
  type InboxQuestion,
  type SenderEvent,
  stallTimeoutMsDefault,
} from './calls.ts'
import type { PortalClient } from './portal-client.ts'
import { portalBackoff } from './retry-policy.ts'
import { senderEvent } from './told.ts'
import { NoResponseError } from './transport.ts'

/** The sentence that people see. */
export const heldBackText =
  'something between here and the portal, probably a proxy that buffers answers, holds event streams back. The portal is asked ' +
  'again and again instead'

/** A stream begins within a round trip or two. If it has not begun by then, the client sends a small request to find out why. */
const BEGINS_MS_MAX = 3_000
/** The share of the stall timeout after which that happens at the latest, so that the answer comes before the stream counts as dead. */
const BEGINS_SHARE = 1 / 4
/** The share of that time that the stream still gets after the small request was answered. */
const GRACE_SHARE = 1 / 3
/** An empty answer that comes sooner was not held. The client pauses then, because asking again at once would be a busy loop. */
const HELD_MS_MIN = 1_000

interface Ways<Event> {
  readonly client: PortalClient
  readonly options: CallOptions
  readonly stream: (options: CallOptions) => AsyncGenerator<Event>
  readonly held: (options: CallOptions) => AsyncGenerator<Event>
  readonly onHeldBack: () => void
}

/** Like `watchEvents` from now on, by a stream or by held answers. @param onHeldBack called when held answers replace the stream */
export function hearEvents(
  client: PortalClient,
  onHeldBack: () => void,
  options: CallOptions = {},
): AsyncGenerator<SenderEvent> {
  const stream = (limits: CallOptions) => client.watchEvents({}, limits)
  return hear({ client, options, stream, held: (limits) => heldEvents(client, limits), onHeldBack })
}

/** Like `watchInbox`, by a stream or by held answers. @param open gives the transfers whose offers are being worked on */
export function hearInbox(
  client: PortalClient,
  question: InboxQuestion,
  { open, onHeldBack }: { open: () => readonly string[]; onHeldBack: () => void },
  options: CallOptions = {},
): AsyncGenerator<InboxEvent> {
  const stream = (limits: CallOptions) => client.watchInbox(question, limits)
  return hear({ client, options, stream, held: (limits) => heldInbox(client, question, open, limits), onHeldBack })
}

async function* hear<Event>({ client, options, stream, held, onHeldBack }: Ways<Event>): AsyncGenerator<Event> {
  const giveUp = new AbortController()
  const signal = options.signal === undefined ? giveUp.signal : AbortSignal.any([options.signal, giveUp.signal])
  const messages = stream({ ...options, signal })
  try {
    const first = messages.next()
    // The caller that awaits it sees the failure.
    first.catch(() => {})
    if (await begins(first, client, options)) {
      const begun = await first
      if (begun.done !== true) yield begun.value
      yield* messages
      return
    }
  } finally {
    giveUp.abort(new NoResponseError('the stream is not waited for any more'))
    // If it still waits for its first message, the signal ends it.
    void messages.return(undefined).catch(() => {})
  }
  onHeldBack()
  yield* held(options)
}

/** @returns false when the stream does not begin although a small request is answered */
async function begins(first: Promise<unknown>, client: PortalClient, options: CallOptions): Promise<boolean> {
  const { stallTimeoutMs = stallTimeoutMsDefault, signal } = options
  const beginsMs = Math.min(BEGINS_MS_MAX, stallTimeoutMs * BEGINS_SHARE)
  const begun = first.then(
    () => true,
    () => true,
  )
  if (await Promise.race([begun, later(beginsMs, signal)])) return true
  if (!(await Promise.race([begun.then(() => false), answers(client, options)]))) return true
  return Promise.race([begun, later(beginsMs * GRACE_SHARE, signal)])
}

/** Resolves with false after `ms`. An abort also ends the stream, whose error then tells the caller. */
function later(ms: number, signal: AbortSignal | undefined): Promise<false> {
  return sleep(ms, signal).then(
    () => false,
    () => new Promise<never>(() => {}),
  )
}

async function answers(client: PortalClient, options: CallOptions): Promise<boolean> {
  try {
    await client.account(options)
    return true
  } catch (error) {
    return error instanceof RemoteProblem && error.next !== 'retry'
  }
}

async function* heldEvents(client: PortalClient, options: CallOptions): AsyncGenerator<SenderEvent> {
  let page: EventPage = await client.heldEvents(null, 0, options)
  yield { type: 'current' }
  for (;;) {
    const askedAtMs = performance.now()
    page = await client.heldEvents(page.after, waitSecondsMax, options)
    for (const notification of page.events) yield { type: 'notification', notification }
    for (const { event, data } of page.passing ?? []) {
      const message = senderEvent(event, () => data)
      if (message !== null) yield message
    }
    if (page.events.length === 0) await pauseUnlessHeld(askedAtMs, options)
  }
}

async function* heldInbox(
  client: PortalClient,
  question: InboxQuestion,
  open: () => readonly string[],
  options: CallOptions,
): AsyncGenerator<InboxEvent> {
  for (let isFirst = true; ; isFirst = false) {
    const askedAtMs = performance.now()
    const messages = await client.heldInbox({ ...question, open: isFirst ? null : open() }, waitSecondsMax, options)
    yield* messages
    if (messages.length === 0) await pauseUnlessHeld(askedAtMs, options)
  }
}

async function pauseUnlessHeld(askedAtMs: number, { signal }: CallOptions): Promise<void> {
  if (performance.now() - askedAtMs < HELD_MS_MIN) await sleep(backoffMs(1, portalBackoff), signal)
}
