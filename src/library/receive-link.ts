/**
 * Receiving by a link, without an account: the receiver that members run, with the identity of a guest that is derived from the link. Nothing
 * of it is kept but a note in the folder that says which guest of the link receives there, so that a killed receiver continues as the same
 * one and never takes the file twice.
 */
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import * as Type from 'typebox'
import { never, sleep } from '../async/index.ts'
import { isPassing, PortalClient, RemoteProblem, type RetryPolicy, type Transport } from '../client/index.ts'
import { type ConnectionOptions, nodeTransport } from '../client/node-transport.ts'
import { Records, recordNameOf, shortRetryPolicy } from '../profile/index.ts'
import {
  checkOptions,
  type Link,
  optionsInvalid,
  Problem,
  type ProblemJson,
  parseLink,
  type ReceivedDelivery,
  type SendLink,
  withoutUndefined,
} from '../protocol/index.ts'
import type { ReceivedFile, ReceiveEvent } from '../receiver/index.ts'
import { findGuest, type LinkGuest } from '../receiver/link-guest.ts'
import { inboxFolderName } from '../receiver/names.ts'
import { type Guest, passphraseKeyOf } from '../trust/index.ts'
import { connectionRules } from './connection.ts'
import { asLibraryCall, GoLooaderError } from './error.ts'
import {
  deliveriesInto,
  handlersOf,
  type ReceiveConnection,
  type ReceivedStream,
  type ReceiveOptions,
  type ReceiveStreamOptions,
  requireStreamOptions,
  streamInto,
} from './receiving.ts'

interface LinkAccess extends ConnectionOptions {
  /** Of a link that needs one. */
  readonly passphrase?: string
}

export type ReceiveLinkOptions = LinkAccess &
  Pick<ReceiveOptions, 'decide' | 'beforeAnswer' | 'handle' | 'times' | 'partsInFlight' | 'signal' | 'onEvent'>
export type ReceiveLinkStreamOptions = LinkAccess & Pick<ReceiveStreamOptions, 'decide' | 'signal' | 'onEvent'>

const linkRules = {
  link: 'text',
  passphrase: 'text?',
  ...connectionRules,
  decide: 'function?',
  signal: 'signal?',
  onEvent: 'function?',
} as const
const folderRules = {
  folder: 'text',
  beforeAnswer: 'function?',
  handle: 'function?',
  times: 'flag?',
  partsInFlight: 'number?',
} as const

/** The guest of a link that receives in a folder. */
const Note = Type.Object({ index: Type.Integer({ minimum: 1 }) })

/** How often a receiver without an offer looks whether another one has it. */
const LOOK_EVERY_MS = 2_000
/** Looks between two searches for another guest, which is as often as a wrong token may be tried. */
const LOOKS_PER_SEARCH = 15

/**
 * Receives the file of a link into a folder, which is made if it is missing. It resolves when the file is complete, verified and durable
 * there, and the portal knows. A call after a crash continues.
 *
 * @param link `https://portal.example/g#glg_…`
 * @throws GoLooaderError `options-invalid` for any other link, and without the passphrase that the link needs; `link-invalid` when the link is
 *   unknown or expired, or the passphrase is wrong; `link-taken` with `takenAt`, and with `path` when the file is in this folder already;
 *   `keys-changed` when the portal names other keys for the sender than the link; the reason of a refusal, for instance `disk-full`, or of the
 *   end of the delivery, for instance `cancelled`
 */
export function receiveLink(link: string, folder: string, options: ReceiveLinkOptions = {}): Promise<ReceivedFile> {
  return asLibraryCall(async () => {
    checkOptions('receiveLink()', { link, folder, ...options }, { ...linkRules, ...folderRules })
    const { access, others } = apart(options)
    await using receiver = await openLink(link, access, others.signal)
    const notes = new Records(join(folder, inboxFolderName, 'links'), Note)
    const known = (await notes.read(receiver.name))?.index ?? null
    return receiver.receive(known, {
      pathOf: ({ transferId }) => publishedIn(folder, transferId, others),
      receive: async ({ connection, self, from, index, signal, onEvent }) => {
        const decide: ReceiveOptions['decide'] = async (offer, voided) => {
          await notes.write(receiver.name, { index })
          return (await others.decide?.(offer, voided)) ?? 'accept'
        }
        const all = { ...others, from, create: true, once: true, decide, signal, onEvent }
        let received: ReceivedFile | null = null
        for await (const file of deliveriesInto(connection, folder, all, async () => self)) received = file
        return received
      },
      onEvent: others.onEvent,
    })
  })
}

/**
 * Receives the file of a link into a stream, like `Profile.receiveInto`.
 *
 * @throws GoLooaderError like `receiveLink` and `Profile.receiveInto`
 */
export function receiveLinkInto(
  link: string,
  stream: Writable,
  options: ReceiveLinkStreamOptions = {},
): Promise<ReceivedStream> {
  return asLibraryCall(async () => {
    checkOptions('receiveLinkInto()', { link, ...options }, linkRules)
    const { access, others } = apart(options)
    requireStreamOptions(stream, others)
    await using receiver = await openLink(link, access, others.signal)
    return receiver.receive(null, {
      pathOf: async () => null,
      receive: async ({ connection, self, from, signal, onEvent }) =>
        streamInto(connection, stream, { ...others, from, signal, onEvent }, async () => self),
      onEvent: others.onEvent,
    })
  })
}

/** The options of a call in two: those that open the link, and those of receiving. */
function apart<Options extends LinkAccess>(options: Options) {
  const { passphrase, insecure, proxies, systemCa, limitBytesPerSecond, ...others } = options
  const access: LinkAccess = withoutUndefined({ passphrase, insecure, proxies, systemCa, limitBytesPerSecond })
  return { access, others }
}

/**
 * Does what is left to be done with files in this folder, too.
 *
 * @returns the path of the file in this folder; null when it is not there
 */
async function publishedIn(folder: string, transferId: string, options: ReceiveLinkOptions): Promise<string | null> {
  const [{ openInbox, requireInbox }, { handleLeftOver }] = await Promise.all([
    import('../receiver/node-inbox.ts'),
    import('../receiver/node-receive.ts'),
  ])
  try {
    await requireInbox(folder)
  } catch (error) {
    // No receiver has used the folder.
    if (error instanceof Problem) return null
    throw error
  }
  await using inbox = await openInbox(folder, { mayCreate: false })
  const published = await inbox.published(transferId)
  const handlers = handlersOf(options)
  if (handlers !== null) await handleLeftOver(inbox, handlers, options.signal ?? never)
  return published === null ? null : join(inbox.folder, published.name)
}

/** One try to receive, as one guest. */
interface Attempt {
  readonly connection: ReceiveConnection
  readonly self: Pick<Guest, 'account' | 'keys'>
  /** The only accepted sender. */
  readonly from: string
  readonly index: number
  /** Aborts when this guest is not the one to receive, or when the caller stops. */
  readonly signal: AbortSignal
  readonly onEvent: (event: ReceiveEvent) => void
}

interface ReceiveAs<File> {
  /** @returns null when the receiver ended without a file */
  readonly receive: (attempt: Attempt) => Promise<File | null>
  /** Where the file of a delivery is, if this receiver has it already. */
  readonly pathOf: (delivery: ReceivedDelivery) => Promise<string | null>
  readonly onEvent: ((event: ReceiveEvent) => void) | undefined
}

/** @throws Problem `options-invalid` */
async function openLink(text: string, access: LinkAccess, signal: AbortSignal = never): Promise<LinkReceiver> {
  const link = parseLink(text)
  if (link?.kind !== 'send') throw optionsInvalid(notASendLink(link))
  const { passphrase, ...connection } = access
  if (link.hasPassphrase !== (passphrase !== undefined)) {
    throw optionsInvalid(link.hasPassphrase ? 'this link needs its passphrase' : 'this link has no passphrase')
  }
  const transport = nodeTransport(link.portalUrl, connection)
  const passphraseKey = passphrase === undefined ? null : await passphraseKeyOf(link.secret, passphrase)
  return new LinkReceiver(link, transport, passphraseKey, signal)
}

function notASendLink(link: Link | null): string {
  if (link?.kind === 'request') return 'by this link files are sent: golooader send FILE --to LINK'
  if (link?.kind === 'invite') return 'this link is an invite: golooader join LINK'
  return (
    'this is not a link to receive by: it looks like https://portal.example/g#glg_… ' +
    "(in a shell, put it in quotes: '#' begins a comment there)"
  )
}

class LinkReceiver implements AsyncDisposable {
  /** For the note about this link. */
  readonly name: string
  readonly #link: SendLink
  readonly #transport: Transport<Readable>
  readonly #passphraseKey: Uint8Array | null
  readonly #signal: AbortSignal

  constructor(link: SendLink, transport: Transport<Readable>, passphraseKey: Uint8Array | null, signal: AbortSignal) {
    this.name = recordNameOf(link.secret)
    this.#link = link
    this.#transport = transport
    this.#passphraseKey = passphraseKey
    this.#signal = signal
  }

  /** @param known the guest of an earlier run */
  async receive<File>(known: number | null, as: ReceiveAs<File>): Promise<File> {
    for (let index = known; ; ) {
      const found = await this.#find(index)
      const { delivery } = found
      // A link is told once its file is stored, so the file is gone again.
      if (delivery === null)
        throw new Problem('link-invalid', { detail: 'no file waits behind it, so its maker has probably cancelled it' })
      if (delivery.state === 'delivered' || delivery.state === 'failed') {
        const path = await as.pathOf(delivery)
        if (index === null || path !== null) throw endOf(delivery, path)
      } else {
        const file = await this.#receiveAs(found, index !== null, as)
        if (file !== null) return file
      }
      // Another receiver has the file of this guest. There may be another guest.
      index = null
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.close()
  }

  /** @throws Problem `link-invalid`, `keys-changed`; NoResponseError */
  #find(index: number | null): Promise<LinkGuest> {
    const retryPolicy = shortRetryPolicy(this.#signal)
    const clientOf = (token: string) => new PortalClient(this.#transport, token)
    const retry: RetryPolicy['retry'] = (request) => retryPolicy.retry(request)
    return findGuest({ link: this.#link, passphraseKey: this.#passphraseKey, clientOf, retry, index })
  }

  /** @returns null when another receiver has this guest's file */
  async #receiveAs<File>(
    found: LinkGuest,
    isKnown: boolean,
    { receive, onEvent: tell }: ReceiveAs<File>,
  ): Promise<File | null> {
    const { guest, index, owner, contacts } = found
    const connection = { client: new PortalClient(this.#transport, guest.token), contacts }
    const stop = new AbortController()
    const signal = AbortSignal.any([this.#signal, stop.signal])
    const about: { hasOffer: boolean; end: ProblemJson | null } = { hasOffer: false, end: null }
    const onEvent = (event: ReceiveEvent): void => {
      if (event.type === 'offered') about.hasOffer = true
      if (event.type === 'given-up') about.hasOffer = false
      if (event.type === 'refused' || event.type === 'withdrawn') about.end = event.problem
      tell?.(event)
      if (event.type === 'withdrawn') stop.abort()
    }
    let failure: unknown = null
    const looking = this.#untilElsewhere({ index, isKnown, hasOffer: () => about.hasOffer }, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) failure = error
      })
      .finally(() => stop.abort())
    try {
      const { account, keys } = guest
      const attempt = { connection, self: { account, keys }, from: owner.account, index, signal, onEvent }
      const file = await receive(attempt)
      if (file !== null) return file
    } catch (error) {
      const isRevoked = error instanceof RemoteProblem && error.code === 'credentials-invalid'
      if (isRevoked) throw new Problem('link-invalid', { detail: 'it has just ended' }, { cause: error })
      if (!stop.signal.aborted) throw error
    } finally {
      stop.abort()
      await looking
    }
    this.#signal.throwIfAborted()
    if (failure !== null) throw failure
    if (about.end !== null) throw new GoLooaderError(about.end, about.end.title)
    return null
  }

  /** Resolves when another receiver has the file of this guest, and there is another guest to be. @throws the signal's reason */
  async #untilElsewhere(
    { index, isKnown, hasOffer }: { index: number; isKnown: boolean; hasOffer: () => boolean },
    signal: AbortSignal,
  ): Promise<void> {
    for (let looksAtOffered = 0; ; ) {
      await sleep(LOOK_EVERY_MS, signal)
      if (hasOffer()) continue
      try {
        const { state = null } = (await this.#find(index)).delivery ?? {}
        if (hasOffer() || state === 'waiting') continue
        if (state !== 'offered') return
        if (isKnown || looksAtOffered++ % LOOKS_PER_SEARCH !== 0) continue
        if ((await this.#find(null)).delivery?.state === 'waiting' && !hasOffer()) return
      } catch (error) {
        // The receiver itself waits for a portal that is away.
        if (!isPassing(error)) throw error
      }
    }
  }
}

/** Why the file of a link cannot be received any more. */
function endOf(delivery: ReceivedDelivery, path: string | null): Error {
  const { state, endedAt, problem } = delivery
  if (state === 'failed' && problem !== undefined) return new GoLooaderError(problem, problem.title)
  const takenAt = endedAt === undefined ? {} : { takenAt: endedAt }
  return new Problem('link-taken', { ...takenAt, ...(path === null ? {} : { path }) })
}
