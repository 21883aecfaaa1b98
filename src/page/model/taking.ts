/**
 * Takes the file of a send link. The guest's identity is made of the link and stays in memory; the database of the link has the content
 * that has arrived, so that a reloaded page continues. The same receiver runs as in the page of an account.
 */
import { effect, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { sleep } from '../../async/index.ts'
import { browserTransport } from '../../client/browser-transport.ts'
import { PortalClient, RetryPolicy } from '../../client/index.ts'
import { Problem, type ProblemJson, type ReceivedDelivery, type SendLink } from '../../protocol/index.ts'
import { findGuest, type LinkGuest, type PartBody } from '../../receiver/index.ts'
import { type Guest, guestOf, OwnerContacts, passphraseKeyOf } from '../../trust/index.ts'
import { pageTransport } from '../platform/bulk-fetcher.ts'
import { openDatabase, type PageDatabase } from '../platform/database.ts'
import { openPageInbox } from '../platform/inbox/page-inbox.ts'
import { type LinkNote, noteLink, openBegun, removeStorage } from '../platform/link-storage.ts'
import { shortcomingsOf } from './abilities.ts'
import type { GuestContext, LinkOwner, Offered, Taking, TakingState } from './guest-types.ts'
import { IncomingList } from './incoming.ts'
import { Names } from './names.ts'
import { problemOf } from './problem-of.ts'
import type { ConnectionState, Incoming } from './types.ts'

/** After this time without an offer, another device may be receiving the file by the same link. */
const OFFER_WAIT_MS = 3_000

/** One guest that receives. */
interface Run {
  readonly guest: Guest
  readonly note: LinkNote
  readonly incoming: IncomingList
  readonly connection: ReadonlySignal<ConnectionState>
  /** Whether another device receives the file by the same link. */
  readonly isElsewhere: Signal<boolean>
  readonly stop: AbortController
  /** Ends the run. What has arrived stays for the next one. */
  close(): void
}

export class LinkTaking implements Taking {
  readonly state: ReadonlySignal<TakingState>
  readonly shortcomings: readonly string[]
  readonly #context: GuestContext<SendLink>
  readonly #state = signal<TakingState>({ state: 'looking', isSilent: false })
  readonly #retryPolicy: RetryPolicy
  #passphraseKey: Uint8Array | null = null
  #found: LinkGuest | null = null
  #run: Run | null = null

  constructor(context: GuestContext<SendLink>) {
    this.#context = context
    this.state = this.#state
    const { abilities, link, signal: stop } = context
    // The guest's keys are never stored.
    this.shortcomings = shortcomingsOf({ ...abilities, keyKeeping: 'as-key' })
    this.#retryPolicy = new RetryPolicy({
      answerTimeoutMs: Number.POSITIVE_INFINITY,
      signal: stop,
      onRetry: () => {
        if (this.#state.value.state === 'looking') this.#state.value = { state: 'looking', isSilent: true }
      },
    })
    stop.addEventListener('abort', () => this.#run?.close(), { once: true })
    if (link.hasPassphrase) this.#state.value = { state: 'locked', isOpening: false, isWrong: false }
    else void this.#attempt(() => this.#look())
  }

  unlock(passphrase: string): void {
    this.#state.value = { state: 'locked', isOpening: true, isWrong: false }
    void this.#attempt(async () => {
      this.#passphraseKey = await passphraseKeyOf(this.#context.link.secret, passphrase)
      await this.#look()
    })
  }

  lookAgain(): void {
    void this.#attempt(() => this.#look())
  }

  take(): void {
    const found = this.#found
    if (found === null || this.#run !== null) return
    void this.#attempt(() => this.#take(found))
  }

  finish(): void {
    void this.#attempt(async () => {
      const owner = this.#run === null ? null : shownOwner(this.#run.note, this.#context.link)
      await this.#clear()
      // The link has done its work, and is a secret.
      history.replaceState(null, '', location.pathname)
      this.#state.value = { state: 'finished', owner }
    })
  }

  async #attempt(act: () => Promise<void>): Promise<void> {
    try {
      await act()
    } catch (error) {
      if (this.#context.signal.aborted) return
      this.#fail(problemOf(error))
    }
  }

  #fail(problem: ProblemJson): void {
    const { link } = this.#context
    // The portal cannot tell a wrong passphrase from an unknown link.
    if (link.hasPassphrase && problem.code === 'link-invalid' && this.#run === null) {
      this.#passphraseKey = null
      this.#state.value = { state: 'locked', isOpening: false, isWrong: true }
      return
    }
    // What has arrived stays for another attempt.
    this.#run?.close()
    this.#run = null
    // The portal forgets the token of a guest that is over.
    const isOver = problem.code === 'credentials-invalid'
    this.#state.value = { state: 'failed', problem: isOver ? new Problem('link-invalid').toJSON() : problem }
  }

  #find(index: number | null): Promise<LinkGuest> {
    const { link, portalUrl } = this.#context
    const clientOf = (token: string) => new PortalClient(browserTransport(portalUrl), token)
    const retry: Parameters<typeof findGuest>[0]['retry'] = (request) => this.#retryPolicy.retry(request)
    return findGuest({ link, passphraseKey: this.#passphraseKey, clientOf, retry, index })
  }

  async #look(): Promise<void> {
    const { link, storageUrl } = this.#context
    if (!link.hasPassphrase) this.#state.value = { state: 'looking', isSilent: false }
    const begun = await openBegun(storageUrl)
    if (begun !== null) return this.#resume(begun)
    const found = await this.#find(null)
    this.#found = found
    await this.#show(found)
  }

  /** Shows what the portal says of a link that this browser does not use. */
  async #show(found: LinkGuest): Promise<void> {
    const { owner, delivery, expiresAt } = found
    const shown = { account: owner.account, fingerprint: this.#context.link.fingerprint }
    if (delivery === null) {
      this.#state.value = { state: 'absent', owner: shown }
    } else if (delivery.state === 'delivered') {
      this.#state.value = { state: 'taken', owner: shown, at: delivery.endedAt ?? null }
    } else if (delivery.problem !== undefined) {
      this.#state.value = { state: 'failed', problem: delivery.problem }
    } else {
      const offered = { ...(await contentOf(found.guest, delivery)), owner: shown, expiresAt }
      this.#state.value = { state: 'offered', offered }
    }
  }

  async #take(found: LinkGuest): Promise<void> {
    const { guest, index, owner, expiresAt } = found
    const note = { index, owner, expiresAt }
    const database = await openDatabase(this.#context.storageUrl)
    await noteLink(database, note)
    await this.#receive(await this.#open(database, guest, note))
  }

  /** Continues what an earlier visit has begun. */
  async #resume({ database, note }: { readonly database: PageDatabase; readonly note: LinkNote }): Promise<void> {
    const { link } = this.#context
    const guest = await guestOf(link.secret, note.index ?? 1, this.#passphraseKey)
    const run = await this.#open(database, guest, note)
    const [kept] = run.incoming.files.value
    if (kept !== undefined) this.#showRun(run)
    try {
      const found = await this.#find(note.index)
      const state = found.delivery?.state
      if (state !== 'delivered' && state !== 'failed') return await this.#receive(run)
      if (kept !== undefined) return
      await this.#clear()
      await this.#show(found)
    } catch (error) {
      // The link may have expired since, and the file is here.
      if (kept !== undefined) return
      run.close()
      this.#run = null
      throw error
    }
  }

  async #open(database: PageDatabase, guest: Guest, note: LinkNote): Promise<Run> {
    const { link, portalUrl, storageUrl, abilities, signal: page } = this.#context
    const stop = new AbortController()
    const connection = signal<ConnectionState>('connecting')
    const inbox = await openPageInbox({
      ...{ database, portalUrl: storageUrl, fileKeeping: abilities.fileKeeping },
      onFolderLapse: () => {},
    })
    const { account, keys, token } = guest
    const client: PortalClient<PartBody> = new PortalClient(pageTransport(portalUrl), token)
    const incoming = await IncomingList.open({
      ...{ client, account, database, inbox, isForOne: true, signal: AbortSignal.any([page, stop.signal]) },
      trust: { account, keys, contacts: await OwnerContacts.of(link.fingerprint, note.owner) },
      lapse: signal(null),
      onConnection: (now) => {
        connection.value = now
      },
      onHeldBack: () => {},
      onTrouble: (problem) => this.#fail(problem),
      onChange: () => {},
    })
    const close = (): void => {
      stop.abort(new Error('the page stopped receiving'))
      inbox[Symbol.dispose]()
      database.close()
    }
    this.#run = { guest, note, incoming, connection, isElsewhere: signal(false), stop, close }
    return this.#run
  }

  async #receive(run: Run): Promise<void> {
    this.#showRun(run)
    const running = run.incoming.run()
    void this.#attempt(() => this.#watchOffer(run))
    await running
  }

  /** Keeps the shown state up to date until the run ends. */
  #showRun({ guest, note, incoming, connection, isElsewhere, stop }: Run): void {
    const owner = shownOwner(note, this.#context.link)
    const dispose = effect(() => {
      const file: Incoming | null = incoming.files.value[0] ?? null
      const isConnected = connection.value === 'connected'
      const phase = file?.progress.value.phase
      this.#state.value = {
        state: 'receiving',
        owner,
        guest: guest.account,
        file,
        isConnected,
        isElsewhere: isElsewhere.value,
      }
      // Nothing of it is of use any more.
      if (phase === 'withdrawn' || phase === 'declined') queueMicrotask(() => void this.#attempt(() => this.#clear()))
    })
    stop.signal.addEventListener('abort', dispose, { once: true })
  }

  /** Where no offer comes, another device has it. Then this one becomes another guest of the link, or waits. */
  async #watchOffer(run: Run): Promise<void> {
    const { incoming, stop, note } = run
    const signals = AbortSignal.any([stop.signal, this.#context.signal])
    while (!signals.aborted && incoming.files.value.length === 0) {
      // A run that has ended needs no offer.
      await sleep(OFFER_WAIT_MS, signals).catch(() => {})
      if (signals.aborted || incoming.files.value.length > 0) return
      const found = await this.#find(null)
      if (signals.aborted || incoming.files.value.length > 0) return
      const state = found.delivery?.state ?? null
      if (state === 'delivered' || state === 'failed') {
        await this.#clear()
        return this.#show(found)
      }
      if (found.index !== note.index) {
        run.close()
        return this.#take(found)
      }
      run.isElsewhere.value = state === 'offered'
    }
  }

  /** Removes everything of the link from this browser. */
  async #clear(): Promise<void> {
    this.#run?.close()
    this.#run = null
    await removeStorage(this.#context.storageUrl)
  }
}

function shownOwner({ owner }: LinkNote, { fingerprint }: SendLink): LinkOwner {
  return { account: owner.account, fingerprint }
}

async function contentOf(
  { account, keys }: Guest,
  delivery: ReceivedDelivery,
): Promise<Pick<Offered, 'name' | 'sizeBytes' | 'tree' | 'isStored'>> {
  const { name, sizeBytes, tree } = await new Names(account, keys).of(delivery)
  const isKnown = delivery.isSizeKnown !== false
  return { name, sizeBytes: isKnown ? sizeBytes : null, tree, isStored: delivery.storedAt !== undefined }
}
