/**
 * Everything that runs once this browser has an account: one event stream, one inbox, and the sender. They share a few
 * connections.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import { PortalClient, RemoteProblem, RetryPolicy } from '../../client/index.ts'
import type { AccountWithKeys, ProblemJson, RequestOfTransfer } from '../../protocol/index.ts'
import type { PartBody } from '../../receiver/index.ts'
import { EventWatch } from '../../sender/index.ts'
import { fingerprintOf } from '../../trust/index.ts'
import { pageTransport } from '../platform/bulk-fetcher.ts'
import { PageContacts } from '../platform/contacts.ts'
import type { PageDatabase } from '../platform/database.ts'
import type { FolderLapse } from '../platform/inbox/chosen-folder.ts'
import { openPageInbox } from '../platform/inbox/page-inbox.ts'
import { PageJournal } from '../platform/journal.ts'
import { PageReceipts } from '../platform/receipts.ts'
import { PageSealRecords } from '../platform/seal-records.ts'
import type { Abilities } from '../platform/trial.ts'
import { shortcomingsOf } from './abilities.ts'
import { PageHistory } from './history.ts'
import type { Identity } from './identity.ts'
import { IncomingList } from './incoming.ts'
import { PageOperations } from './operations.ts'
import { OutgoingList } from './outgoing.ts'
import { OwnLinks } from './own-links.ts'
import { OwnRequests } from './own-requests.ts'
import { PagePeople } from './people.ts'
import { problemOf } from './problem-of.ts'
import type { ConnectionState, GuestLinks, Member, OperationsModel } from './types.ts'

export interface MemberOptions {
  readonly database: PageDatabase
  readonly identity: Identity
  readonly portalUrl: string
  readonly abilities: Abilities
  /** Aborts when another tab takes over. */
  readonly signal: AbortSignal
}

/** Builds the parts and starts them. */
export async function openMember(options: MemberOptions): Promise<Member> {
  const { database, identity, portalUrl, abilities, signal: stop } = options
  const { account, keys, token } = identity
  const client: PortalClient<PartBody> = new PortalClient(pageTransport(portalUrl), token)
  const connection = signal<ConnectionState>('connecting')
  const trouble = signal<ProblemJson | null>(null)
  const operations = signal<OperationsModel | null>(null)
  const guests = signal<GuestLinks | null>(null)
  const lapse = signal<FolderLapse | null>(null)
  const isSealedOnly = signal(false)
  const contacts = new PageContacts(database)
  const people = new PagePeople(client, contacts, stop)
  const onTrouble = (problem: ProblemJson): void => {
    trouble.value ??= problem
  }
  const onChange = (): void => {
    history.changed()
    void people.look()
  }
  const isHeldBack = signal(false)
  const onHeldBack = (): void => {
    isHeldBack.value = true
  }
  const onConnection = (now: ConnectionState): void => {
    connection.value = now
  }
  const inbox = await openPageInbox({
    ...{ database, portalUrl, fileKeeping: abilities.fileKeeping },
    onFolderLapse: (now) => {
      lapse.value = now
    },
    onWriting: (transferId, progress) => incoming.unpacking(transferId, progress),
  })
  const recordOf = (transferId: string) => inbox.recordOf(transferId)
  const fingerprint = await fingerprintOf(keys.publicKeys)
  const linkOptions = { client, database, portalUrl, fingerprint, signal: stop }
  const requests = new OwnRequests(linkOptions)
  const labelOf = (request: RequestOfTransfer) => requests.labelOf(request)
  const history = new PageHistory({ client, account, keys, contacts, recordOf, labelOf, signal: stop })
  const events = new EventWatch({
    client,
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal: stop,
    onSilence: () => onConnection('lost'),
    onHeldBack: () => onHeldBack(),
    // The stream omits events from before it (re)connected, and a restored portal may have lost some data. So the
    // history reloads, and the page repeats its keys.
    onMessage: ({ type }) => {
      if (type !== 'current') return
      history.changed()
      if (isIntroduced) watched(tellKeys())
    },
  })
  events.onHeard(() => onConnection('connected'))
  const outgoing = new OutgoingList({
    ...{ client, account, portalUrl, events, isSealedOnly, onTrouble, onChange },
    trust: { keys, contacts, receipts: new PageReceipts(database) },
    journal: new PageJournal(database),
    sealRecords: new PageSealRecords(database),
    signal: stop,
  })
  // The user can still choose files to send while the portal is away, even for long.
  const begunEarlier = await outgoing.begunEarlier()
  const incoming = await IncomingList.open({
    ...{ client, account, database, inbox, onConnection, onHeldBack, onTrouble, onChange },
    trust: { account, keys, contacts },
    labelOf,
    lapse: lapse as ReadonlySignal<FolderLapse | null>,
    signal: stop,
  })
  stop.addEventListener('abort', () => inbox[Symbol.dispose](), { once: true })

  const retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: stop })
  let isIntroduced = false
  /**
   * The account exists, but the portal may lack its keys: the upload may have failed, or the portal was restored from a
   * backup.
   */
  const tellKeys = async (): Promise<AccountWithKeys> => {
    const told = await retryPolicy.retry((bounds) => client.account(bounds))
    const { signing, encryption } = keys.publicKeys
    if (told.keys?.signing === signing && told.keys.encryption === encryption) return told
    return retryPolicy.retry((bounds) => client.setKeys(keys.publicKeys, bounds))
  }
  const introduce = async (): Promise<void> => {
    const told = await tellKeys()
    isIntroduced = true
    if (told.isOperator === true) operations.value = new PageOperations(client)
    const limits = await retryPolicy.retry((bounds) => client.limits(bounds))
    isSealedOnly.value = limits.sealedOnly
    if (limits.guests != null) guests.value = await openGuestLinks(limits.guests.expiryMsMax)
    // Until the portal has the keys, no sender can seal a file for this account.
    void incoming.run()
    outgoing.takeUp(begunEarlier)
  }
  const openGuestLinks = async (expiryMsMax: number): Promise<GuestLinks> => {
    const links = await OwnLinks.open(linkOptions)
    return {
      ...{ expiryMsMax, links: links.byGuest, requests },
      // Each file has a link of its own: a guest takes one file.
      send: async (picked, options) => {
        for (const one of picked) {
          outgoing.send([one], await links.make(options, expiryMsMax), { isSealed: true })
        }
      },
      makeRequest: (options) => requests.make(options, expiryMsMax),
    }
  }
  const watched = (running: Promise<unknown>): void => {
    running.catch((error: unknown) => {
      if (stop.aborted) return
      if (error instanceof RemoteProblem) onTrouble(error.problem)
      else onTrouble(problemOf(error))
    })
  }
  watched(events.follow())
  watched(introduce())
  watched(people.look())

  const shortcomings = shortcomingsOf(abilities)
  return {
    ...{
      account,
      fingerprint,
      portalUrl,
      shortcomings,
      connection,
      isHeldBack,
      trouble,
      outgoing,
      incoming,
      history,
      people,
      operations,
      guests,
    },
  }
}
