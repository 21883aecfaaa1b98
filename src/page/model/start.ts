/**
 * The start of the page: checks the browser's abilities, claims the only active tab, and loads or creates the account.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import { browserTransport } from '../../client/browser-transport.ts'
import { PortalClient, RemoteProblem, RetryPolicy } from '../../client/index.ts'
import { type InviteStatus, isInvite, type ProblemJson } from '../../protocol/index.ts'
import { tabLocks } from '../platform/browser.ts'
import type { PageDatabase } from '../platform/database.ts'
import {
  type Abilities,
  MissingAbilityError,
  openTriedDatabase,
  requireBuiltIns,
  tryAbilities,
} from '../platform/trial.ts'
import { shortcomingsOf } from './abilities.ts'
import { type Identity, joinWithInvite, readIdentity } from './identity.ts'
import { openMember } from './member.ts'
import { problemOf } from './outgoing.ts'
import type { Joining, Stage } from './types.ts'

const JOIN_TIMEOUT_MS = 10_000
const RELOAD = 'Reload the page. If that does not help, use another browser.'

export interface StartedPage {
  readonly stage: ReadonlySignal<Stage>
  /** Makes this tab active and stops the other one. */
  takeOver(): void
}

/** What the page was opened with. The page asks once about an invite, whether the user joins or declines. */
interface Given {
  invite: string | null
}

/** Starts the page. It reads the fragment of the address, and removes an invite from there. */
export function startPage(): StartedPage {
  const portalUrl = new URL('.', location.href).href.replace(/\/$/, '')
  const given: Given = { invite: takeInvite() }
  const stage = signal<Stage>({ stage: 'starting' })
  const begin = (isTakingOver: boolean): void => {
    stage.value = { stage: 'starting' }
    void work(portalUrl, given, stage, isTakingOver).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      const advice = error instanceof MissingAbilityError ? error.advice : RELOAD
      stage.value = { stage: 'unable', reason, advice, hasInvite: given.invite !== null }
    })
  }
  begin(false)
  return { stage, takeOver: () => begin(true) }
}

/** An invite is a secret. The page removes it from the address and from the history of the browser. */
function takeInvite(): string | null {
  const text = location.hash.slice(1)
  if (!isInvite(text)) return null
  history.replaceState(null, '', new URL('.', location.href).pathname)
  return text
}

/** Works until another tab takes over. */
async function work(portalUrl: string, given: Given, stage: { value: Stage }, isTakingOver: boolean): Promise<void> {
  requireBuiltIns()
  if (!isSecureContext) {
    const reason = 'The page came over plain http, so the browser does not let it make keys.'
    throw new MissingAbilityError(reason, 'Open it over https, or on the machine that runs the portal.')
  }
  if (tabLocks === null) {
    const reason = 'This browser has no locks between tabs.'
    throw new MissingAbilityError(reason, 'Use a current version of Chrome, Edge, Firefox or Safari.')
  }
  const stop = new AbortController()
  const options: LockOptions = isTakingOver ? { steal: true } : { ifAvailable: true }
  try {
    await tabLocks.request(`golooader ${new URL(portalUrl).pathname}`, options, async (lock) => {
      if (lock === null) {
        stage.value = { stage: 'elsewhere' }
        return
      }
      await run(portalUrl, given, stage, stop.signal)
      // This tab holds the lock until it closes or another tab takes the lock.
      await new Promise(() => {})
    })
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'AbortError')) throw error
    stop.abort(new Error('another tab works'))
    stage.value = { stage: 'elsewhere' }
  }
}

async function run(portalUrl: string, given: Given, stage: { value: Stage }, stop: AbortSignal): Promise<void> {
  const database = await openTriedDatabase(portalUrl)
  stop.addEventListener('abort', () => database.close(), { once: true })
  const abilities = await tryAbilities(database, portalUrl).catch((error: unknown) => {
    database.close()
    throw error
  })
  let isEntered = false
  const enter = async (identity: Identity): Promise<void> => {
    // Two active tabs would send and receive the same files.
    if (isEntered) return
    isEntered = true
    given.invite = null
    const member = await openMember({ database, identity, portalUrl, abilities, signal: stop })
    stop.throwIfAborted()
    stage.value = { stage: 'member', member }
  }
  const known = await readIdentity(database)
  if (known !== null && given.invite === null) return enter(known)
  const joining = joiningOf({ database, portalUrl, abilities, invite: given.invite, known, enter })
  stage.value = { stage: 'stranger', joining }
}

interface JoiningOptions {
  readonly database: PageDatabase
  readonly portalUrl: string
  readonly abilities: Abilities
  readonly invite: string | null
  readonly known: Identity | null
  readonly enter: (identity: Identity) => Promise<void>
}

function joiningOf({ database, portalUrl, abilities, invite: given, known, enter }: JoiningOptions): Joining {
  const invite = signal(given)
  const isUnderway = signal(false)
  const problem = signal<ProblemJson | null>(null)
  const about = signal<InviteStatus | null>(null)
  const client = new PortalClient(browserTransport(portalUrl), null)
  const look = async (): Promise<void> => {
    if (invite.value === null) return
    problem.value = null
    about.value = null
    try {
      about.value = await client.invite({ invite: invite.value }, { stallTimeoutMs: JOIN_TIMEOUT_MS })
    } catch (error) {
      // Without a response the invite may still be valid, so the user can try again.
      if (error instanceof RemoteProblem) problem.value = problemOf(error)
    }
  }
  void look()
  return {
    ...{ invite, about, isUnderway, problem },
    replaces: known?.account ?? null,
    shortcomings: shortcomingsOf(abilities),
    leave: () => {
      if (known === null) return
      enter(known).catch((error: unknown) => {
        problem.value = problemOf(error)
      })
    },
    useLink: (text) => {
      const found = /gli_[A-Za-z0-9_-]{43}/.exec(text)?.[0] ?? null
      if (found !== null) {
        invite.value = found
        void look()
      }
      return found !== null
    },
    join: async () => {
      if (invite.value === null) return
      const secret = invite.value
      isUnderway.value = true
      problem.value = null
      try {
        const retryPolicy = new RetryPolicy({ answerTimeoutMs: JOIN_TIMEOUT_MS })
        await retryPolicy.retry(() => joinWithInvite(database, client, secret, known, abilities.keyKeeping))
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
