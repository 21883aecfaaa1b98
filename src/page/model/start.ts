/** From the opening of the page to somebody who sends and receives: what the browser can do, which tab works, who has joined. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { browserTransport } from '../../client/browser-transport.ts'
import { Patience, PortalClient } from '../../client/index.ts'
import { isInvite, type ProblemJson } from '../../protocol/index.ts'
import { openDatabase, type PageDatabase } from '../platform/database.ts'
import { type Identity, join, readIdentity } from './identity.ts'
import { openMember } from './member.ts'
import { problemOf } from './outgoing.ts'
import type { Joining, Stage } from './types.ts'

const JOIN_TIMEOUT_MS = 10_000

export interface StartedPage {
  readonly stage: ReadonlySignal<Stage>
  /** Works in this tab, and ends that in the other one. */
  takeOver(): void
}

/** What the page was opened with. An invite that has been answered, by joining or not, is not asked about again. */
interface Given {
  invite: string | null
}

/** Begins. What is behind the `#` of the address is read, and, where it is an invite, taken away from there. */
export function startPage(): StartedPage {
  const portalUrl = new URL('.', location.href).href.replace(/\/$/, '')
  const given: Given = { invite: takeInvite() }
  const stage = signal<Stage>({ stage: 'starting' })
  const begin = (isTakingOver: boolean): void => {
    stage.value = { stage: 'starting' }
    void work(portalUrl, given, stage, isTakingOver).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      stage.value = { stage: 'unable', reason, advice: 'Reload the page. If that does not help, use another browser.' }
    })
  }
  begin(false)
  return { stage, takeOver: () => begin(true) }
}

/** An invite is a secret: it does not stay in the address, nor in the history of the browser. */
function takeInvite(): string | null {
  const text = location.hash.slice(1)
  if (!isInvite(text)) return null
  history.replaceState(null, '', new URL('.', location.href).pathname)
  return text
}

/** Works until another tab does. */
async function work(portalUrl: string, given: Given, stage: { value: Stage }, isTakingOver: boolean): Promise<void> {
  const reason = await whatIsMissing()
  if (reason !== null) {
    stage.value = { stage: 'unable', ...reason }
    return
  }
  const stop = new AbortController()
  const options: LockOptions = isTakingOver ? { steal: true } : { ifAvailable: true }
  try {
    await navigator.locks.request(`golooader ${new URL(portalUrl).pathname}`, options, async (lock) => {
      if (lock === null) {
        stage.value = { stage: 'elsewhere' }
        return
      }
      await run(portalUrl, given, stage, stop.signal)
      // The lock is held for as long as this tab lives, or until another one takes it.
      await new Promise(() => {})
    })
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'AbortError')) throw error
    stop.abort(new Error('another tab works'))
    stage.value = { stage: 'elsewhere' }
  }
}

async function run(portalUrl: string, given: Given, stage: { value: Stage }, stop: AbortSignal): Promise<void> {
  const database = await openDatabase(portalUrl)
  stop.addEventListener('abort', () => database.close(), { once: true })
  let isEntered = false
  const enter = async (identity: Identity): Promise<void> => {
    // Two that send and receive here would do it over the same files.
    if (isEntered) return
    isEntered = true
    given.invite = null
    const member = await openMember({ database, identity, portalUrl, signal: stop })
    stop.throwIfAborted()
    stage.value = { stage: 'member', member }
  }
  const known = await readIdentity(database)
  if (known !== null && given.invite === null) return enter(known)
  const joining = joiningOf(database, portalUrl, given.invite, known, enter)
  stage.value = { stage: 'stranger', joining }
}

function joiningOf(
  database: PageDatabase,
  portalUrl: string,
  given: string | null,
  known: Identity | null,
  enter: (identity: Identity) => Promise<void>,
): Joining {
  const invite = signal(given)
  const isUnderway = signal(false)
  const problem = signal<ProblemJson | null>(null)
  return {
    ...{ invite, isUnderway, problem },
    replaces: known?.account ?? null,
    leave: () => {
      if (known === null) return
      enter(known).catch((error: unknown) => {
        problem.value = problemOf(error)
      })
    },
    useLink: (text) => {
      const found = /gli_[A-Za-z0-9_-]{43}/.exec(text)?.[0] ?? null
      if (found !== null) invite.value = found
      return found !== null
    },
    join: async () => {
      if (invite.value === null) return
      const secret = invite.value
      isUnderway.value = true
      problem.value = null
      try {
        const client = new PortalClient(browserTransport(portalUrl), null)
        const patience = new Patience({ answerTimeoutMs: JOIN_TIMEOUT_MS })
        await patience.insist(() => join(database, client, secret, known))
        const identity = await readIdentity(database)
        if (identity !== null) await enter(identity)
      } catch (error) {
        problem.value = problemOf(error)
      } finally {
        isUnderway.value = false
      }
    },
  }
}

/** What this browser, or the way to the portal, lacks. */
async function whatIsMissing(): Promise<{ reason: string; advice: string } | null> {
  if (!isSecureContext) {
    const reason = 'The page came over plain http, so the browser does not let it make keys.'
    return { reason, advice: 'Open it by https, or on the very machine that the portal runs on.' }
  }
  const advice = 'Use a current version of Chrome, Edge, Firefox or Safari, not in a private window.'
  try {
    await crypto.subtle.generateKey({ name: 'Ed25519' }, false, ['sign', 'verify'])
    await crypto.subtle.generateKey({ name: 'X25519' }, false, ['deriveBits'])
  } catch {
    // Whatever it says: without these keys there is nothing to be done here.
    return { reason: 'This browser does not know the keys that files are signed and sealed with.', advice }
  }
  const hasStorage = 'getDirectory' in navigator.storage && 'locks' in navigator
  return hasStorage ? null : { reason: 'This browser has no storage for files that come in.', advice }
}
