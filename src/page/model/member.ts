/** Everything that runs for whoever has joined: one event stream, one inbox, and what is sent over the same few connections. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { browserTransport } from '../../client/browser-transport.ts'
import { Patience, PortalClient, RemoteProblem } from '../../client/index.ts'
import type { ProblemJson } from '../../protocol/index.ts'
import type { PartBody } from '../../receiver/index.ts'
import { EventWatch } from '../../sender/index.ts'
import { fingerprintOf } from '../../trust/index.ts'
import { PageContacts } from '../platform/contacts.ts'
import type { PageDatabase } from '../platform/database.ts'
import type { FolderLapse } from '../platform/inbox/chosen-folder.ts'
import { openPageInbox } from '../platform/inbox/page-inbox.ts'
import { PageJournal } from '../platform/journal.ts'
import { PageReceipts } from '../platform/receipts.ts'
import { PageSealRecords } from '../platform/seal-records.ts'
import { PageHistory } from './history.ts'
import type { Identity } from './identity.ts'
import { IncomingList } from './incoming.ts'
import { PageOperations } from './operations.ts'
import { OutgoingList, problemOf } from './outgoing.ts'
import { PagePeople } from './people.ts'
import type { Connection, Member, Operations } from './types.ts'

export interface MemberOptions {
  readonly database: PageDatabase
  readonly identity: Identity
  readonly portalUrl: string
  /** Aborts when another tab works. */
  readonly signal: AbortSignal
}

/** Puts it together, and begins to work. */
export async function openMember({ database, identity, portalUrl, signal: stop }: MemberOptions): Promise<Member> {
  const { account, keys, token } = identity
  const client: PortalClient<PartBody> = new PortalClient(browserTransport(portalUrl), token)
  const connection = signal<Connection>('connecting')
  const trouble = signal<ProblemJson | null>(null)
  const operations = signal<Operations | null>(null)
  const lapse = signal<FolderLapse | null>(null)
  const isSealedOnly = signal(false)
  const contacts = new PageContacts(database)
  const people = new PagePeople(client, contacts, stop)
  const history = new PageHistory({ client, account, keys, contacts, signal: stop })
  const onTrouble = (problem: ProblemJson): void => {
    trouble.value ??= problem
  }
  const onChange = (): void => {
    history.changed()
    void people.look()
  }
  const onConnection = (now: Connection): void => {
    connection.value = now
  }
  const events = new EventWatch({
    client,
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal: stop,
    onSilence: () => onConnection('lost'),
  })
  events.onHeard(() => onConnection('connected'))
  const outgoing = new OutgoingList({
    ...{ client, account, portalUrl, events, isSealedOnly, onTrouble, onChange },
    trust: { keys, contacts, receipts: new PageReceipts(database) },
    journal: new PageJournal(database),
    sealRecords: new PageSealRecords(database),
    signal: stop,
  })
  const inbox = await openPageInbox({
    ...{ database, portalUrl },
    onFolderLapse: (now) => {
      lapse.value = now
    },
  })
  const incoming = await IncomingList.open({
    ...{ client, account, database, inbox, onConnection, onTrouble, onChange },
    trust: { account, keys, contacts },
    lapse: lapse as ReadonlySignal<FolderLapse | null>,
    signal: stop,
  })
  stop.addEventListener('abort', () => inbox[Symbol.dispose](), { once: true })

  const introduce = async (): Promise<void> => {
    const patience = new Patience({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: stop })
    const ask = { stallMs: patience.stallMs, signal: stop }
    const told = await patience.insist(() => client.account(ask))
    const { signing, encryption } = keys.publicKeys
    // Joined, but the portal has not got the keys yet.
    if (told.keys?.signing !== signing || told.keys.encryption !== encryption) {
      await patience.insist(() => client.setKeys(keys.publicKeys, ask))
    }
    if (told.isOperator === true) operations.value = new PageOperations(client)
    isSealedOnly.value = (await patience.insist(() => client.limits(ask))).sealedOnly
    // Without keys at the portal nobody could seal for this account.
    void incoming.run()
    await outgoing.takeUp()
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

  const fingerprint = await fingerprintOf(keys.publicKeys)
  return {
    ...{ account, fingerprint, portalUrl, connection, trouble, outgoing, incoming, history, people, operations },
  }
}
