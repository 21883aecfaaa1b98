/**
 * The start of the page: checks the browser's abilities, claims the only active tab, and loads or creates the account.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import { browserTransport } from '../../client/browser-transport.ts'
import { PortalClient, RemoteProblem, RetryPolicy } from '../../client/index.ts'
import { type InviteStatus, isInvite, type ProblemJson } from '../../protocol/index.ts'
import type { PageDatabase } from '../platform/database.ts'
import { lockNameOf, removeLeftovers } from '../platform/link-storage.ts'
import { type Abilities, openTriedDatabase, tryAbilities } from '../platform/trial.ts'
import { shortcomingsOf } from './abilities.ts'
import { type Identity, joinWithInvite, readIdentity } from './identity.ts'
import { problemOf } from './problem-of.ts'
import { asOnlyTab, reasonsAgainst } from './tab.ts'
import type { Joining, Stage } from './types.ts'

const JOIN_TIMEOUT_MS = 10_000

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
      stage.value = { stage: 'unable', ...reasonsAgainst(error), hasInvite: given.invite !== null }
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
  await asOnlyTab(lockNameOf(portalUrl), isTakingOver, (stop) => run(portalUrl, given, stage, stop))
  stage.value = { stage: 'elsewhere' }
}

async function run(portalUrl: string, given: Given, stage: { value: Stage }, stop: AbortSignal): Promise<void> {
  // Nothing waits for it, and the next visit tries again.
  removeLeftovers(portalUrl).catch(() => {})
  const database = await openTriedDatabase(portalUrl)
  stop.addEventListener('abort', () => database.close(), { once: true })
  // It loads while the browser is tried. Entering reports a failure.
  if (given.invite !== null || (await database.count('identity')) > 0) loadMember().catch(() => {})
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
    const { openMember } = await loadMember()
    const member = await openMember({ database, identity, portalUrl, abilities, signal: stop })
    stop.throwIfAborted()
    stage.value = { stage: 'member', member }
  }
  const known = await readIdentity(database)
  if (known !== null && given.invite === null) return enter(known)
  const joining = joiningOf({ database, portalUrl, abilities, invite: given.invite, known, enter })
  stage.value = { stage: 'stranger', joining }
}

/** Visitors without an account do not need it. */
function loadMember() {
  return import('./member.ts')
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
