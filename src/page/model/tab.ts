/** The only active tab: two tabs with the same account, or with the same link, would send and receive the same files. */
import { tabLocks } from '../platform/browser.ts'
import { MissingAbilityError, requireBuiltIns } from '../platform/trial.ts'

const RELOAD = 'Reload the page. If that does not help, use another browser.'

/**
 * Works as the only tab. Resolves when another tab works, now or in place of this one.
 *
 * @param isTakingOver stops the tab that works
 * @param work gets a signal that aborts when another tab takes over
 * @throws MissingAbilityError where the browser cannot tell; what `work` threw
 */
export async function asOnlyTab(
  lockName: string,
  isTakingOver: boolean,
  work: (stop: AbortSignal) => Promise<void>,
): Promise<void> {
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
    await tabLocks.request(lockName, options, async (lock) => {
      if (lock === null) return
      await work(stop.signal)
      // This tab holds the lock until it closes or another tab takes the lock.
      await new Promise(() => {})
    })
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'AbortError')) throw error
    stop.abort(new Error('another tab works'))
  }
}

/** Why the page cannot work here, and what to do, in plain words. */
export function reasonsAgainst(error: unknown): { readonly reason: string; readonly advice: string } {
  return {
    reason: error instanceof Error ? error.message : String(error),
    advice: error instanceof MissingAbilityError ? error.advice : RELOAD,
  }
}
