/**
 * Sends files to a request link. Looking at the request changes nothing. The first file makes this browser a guest, with keys of its own,
 * which stay in the database of the link until everything has arrived. The same sender runs as in the page of an account.
 */
import { computed, signal } from '@preact/signals'
import { browserTransport } from '../../client/browser-transport.ts'
import { PortalClient, RemoteProblem, RetryPolicy } from '../../client/index.ts'
import {
  type FileRequestView,
  guestNameOf,
  newToken,
  Problem,
  type ProblemJson,
  type RequestLink,
} from '../../protocol/index.ts'
import { EventWatch } from '../../sender/index.ts'
import { fingerprintOf, OwnerContacts, openLabel, receiptText, requestSecretsOf } from '../../trust/index.ts'
import { openDatabase, type PageDatabase } from '../platform/database.ts'
import { PageJournal } from '../platform/journal.ts'
import { makeKeptKeys, openKeptKeys } from '../platform/kept-keys.ts'
import { noteLink, openBegun, removeStorage } from '../platform/link-storage.ts'
import type { Picked } from '../platform/picked-folder.ts'
import { PageReceipts } from '../platform/receipts.ts'
import { PageSealRecords } from '../platform/seal-records.ts'
import { shortcomingsOf } from './abilities.ts'
import type { Giving, GivingState, GuestContext, GuestSending, LinkOwner, OpenRequest } from './guest-types.ts'
import { PageHistory } from './history.ts'
import { type Identity, readIdentity, writeIdentity } from './identity.ts'
import { OutgoingList } from './outgoing.ts'
import { problemOf } from './problem-of.ts'

type Context = GuestContext<RequestLink>

/** The sender of this browser, and how it ends. */
interface Sender {
  readonly sending: GuestSending
  readonly outgoing: OutgoingList
  close(): void
}

export function openGiving(context: Context): Giving {
  const state = signal<GivingState>({ state: 'looking', isSilent: false })
  const retryPolicy = new RetryPolicy({
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal: context.signal,
    onRetry: () => {
      if (state.value.state === 'looking') state.value = { state: 'looking', isSilent: true }
    },
  })
  const look = async (): Promise<void> => {
    state.value = { state: 'looking', isSilent: false }
    try {
      const request = await openRequest(context, retryPolicy, (owner) => {
        state.value = { state: 'finished', owner }
      })
      state.value = { state: 'open', request }
    } catch (error) {
      if (!context.signal.aborted) state.value = { state: 'failed', problem: problemOf(error) }
    }
  }
  void look()
  return {
    state,
    shortcomings: shortcomingsOf({ ...context.abilities, fileKeeping: 'files' }),
    lookAgain: () => void look(),
  }
}

async function openRequest(
  context: Context,
  retryPolicy: RetryPolicy,
  onFinished: (owner: LinkOwner) => void,
): Promise<OpenRequest> {
  const { link, portalUrl, storageUrl, signal: stop } = context
  const { bearer } = await requestSecretsOf(link.secret)
  const visitor = new PortalClient(browserTransport(portalUrl), null)
  const begun = await openBegun(storageUrl)
  const view = await looked(visitor, bearer, retryPolicy).catch((error: unknown) => {
    begun?.database.close()
    throw error
  })
  const named = view?.owner ?? begun?.note.owner
  if (named === undefined) throw new Problem('link-invalid')
  const contacts = await OwnerContacts.of(link.fingerprint, named)
  const owner = { account: named.account, fingerprint: link.fingerprint }
  const sending = signal<GuestSending | null>(null)
  const problem = signal<ProblemJson | null>(null)
  let opening: Promise<Sender> | null = null
  const begin = async (known: PageDatabase | null): Promise<Sender> => {
    const database = known ?? (await openDatabase(storageUrl))
    if (view !== null) await noteLink(database, { expiresAt: view.expiresAt, owner: named, index: null })
    const identity = await guestIdentity(database, context)
    // A closed request lets nobody join, and those who have joined see their files arrive.
    if (view !== null) await joined(visitor, bearer, identity, retryPolicy)
    const sender = await openSender(context, database, identity, contacts, (trouble) => {
      problem.value = trouble
    })
    sending.value = sender.sending
    return sender
  }
  const beginOnce = (known: PageDatabase | null = null): Promise<Sender> => {
    opening ??= begin(known)
    opening.catch((error: unknown) => {
      opening = null
      if (!stop.aborted) problem.value = problemOf(error)
    })
    return opening
  }
  if (begun !== null) await beginOnce(begun.database)
  return {
    ...{ owner, sending, problem },
    label: view?.label == null ? null : await openLabel(link.secret, view.label),
    expiresAt: view?.expiresAt ?? null,
    filesLeft: view?.filesLeft ?? 0,
    bytesLeft: view?.bytesLeft ?? 0,
    isClosed: view === null,
    send: (picked: readonly Picked[]) => {
      problem.value = null
      beginOnce().then(
        ({ outgoing }) => outgoing.send(picked, [owner.account], { isSealed: true }),
        // It is shown already.
        () => {},
      )
    },
    finish: () => {
      void (async () => {
        ;(await opening)?.close()
        await removeStorage(storageUrl)
        // The link has done its work, and is a secret.
        history.replaceState(null, '', location.pathname)
        onFinished(owner)
      })().catch((error: unknown) => {
        problem.value = problemOf(error)
      })
    },
  }
}

/** @returns null where the request is unknown, closed or expired */
async function looked(
  visitor: PortalClient,
  bearer: string,
  retryPolicy: RetryPolicy,
): Promise<FileRequestView | null> {
  try {
    return await retryPolicy.retry((bounds) => visitor.guests.look({ secret: bearer }, bounds))
  } catch (error) {
    if (error instanceof RemoteProblem && error.code === 'link-invalid') return null
    throw error
  }
}

/** The identity of this browser for the request; on disk when it resolves, before the portal hears of it. */
async function guestIdentity(database: PageDatabase, { abilities }: Context): Promise<Identity> {
  const known = await readIdentity(database)
  if (known !== null) return known
  const keptKeys = await makeKeptKeys(abilities.keyKeeping)
  const account = guestNameOf(await fingerprintOf(keptKeys.publicKeys))
  const identity = { account, token: newToken(), keys: await openKeptKeys(keptKeys), keptKeys }
  await writeIdentity(database, identity)
  return identity
}

async function joined(
  visitor: PortalClient,
  bearer: string,
  { account, token, keys }: Identity,
  retryPolicy: RetryPolicy,
): Promise<void> {
  await retryPolicy.retry((bounds) =>
    visitor.guests.join({ secret: bearer, account, token, keys: keys.publicKeys }, bounds),
  )
}

async function openSender(
  { portalUrl, signal: page }: Context,
  database: PageDatabase,
  { account, token, keys }: Identity,
  contacts: OwnerContacts,
  onTrouble: (problem: ProblemJson) => void,
): Promise<Sender> {
  const ending = new AbortController()
  const stop = AbortSignal.any([page, ending.signal])
  const client = new PortalClient(browserTransport(portalUrl), token)
  const receipts = new PageReceipts(database)
  const events = new EventWatch({
    client,
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal: stop,
    onSilence: () => {},
    onHeldBack: () => {},
  })
  const history = new PageHistory({
    ...{ client, account, keys, contacts, receives: false, signal: stop },
    recordOf: async () => null,
  })
  const outgoing = new OutgoingList({
    ...{ client, account, portalUrl, events, onTrouble },
    isSealedOnly: signal(true),
    onChange: () => history.changed(),
    trust: { keys, contacts, receipts },
    journal: new PageJournal(database),
    sealRecords: new PageSealRecords(database),
    signal: stop,
  })
  const begunEarlier = await outgoing.begunEarlier()
  const watched = (running: Promise<unknown>): void => {
    running.catch((error: unknown) => {
      if (!stop.aborted) onTrouble(problemOf(error))
    })
  }
  watched(events.follow())
  watched(history.load())
  outgoing.takeUp(begunEarlier)
  const earlier = computed(() => {
    const shown = new Set(outgoing.files.value.map(({ transferId }) => transferId.value))
    const unfinished = new Set(outgoing.unfinished.value.map(({ transferId }) => transferId))
    return history.lines.value.filter(({ transferId }) => !shown.has(transferId) && !unfinished.has(transferId))
  })
  const sending: GuestSending = {
    ...{ account, outgoing, earlier },
    receiptOf: async (transferId) => {
      const [kept] = await receipts.of(transferId)
      return kept === undefined ? null : receiptText(kept)
    },
  }
  const close = (): void => {
    ending.abort(new Error('the page stopped sending'))
    database.close()
  }
  page.addEventListener('abort', close, { once: true })
  return { sending, outgoing, close }
}
