/**
 * The start of the page of a link: `/g` receives the file of a send link, `/r` sends to a request link. The fragment of the address stays
 * there, because the identity is made of it again after a reload. Nothing at the portal changes before the user presses a button.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import { parseLink, type RequestLink, type SendLink } from '../../protocol/index.ts'
import { lockNameOf, readLinkNote, removeLeftovers, removeStorage, storageUrlOf } from '../platform/link-storage.ts'
import { type Abilities, openTriedDatabase, tryAbilities } from '../platform/trial.ts'
import type { GuestStage } from './guest-types.ts'
import { asOnlyTab, reasonsAgainst } from './tab.ts'

export interface StartedGuestPage {
  readonly stage: ReadonlySignal<GuestStage>
  /** Makes this tab active and stops the other one. */
  takeOver(): void
}

export function startGuestPage(): StartedGuestPage {
  const stage = signal<GuestStage>({ stage: 'starting' })
  // Another link in the same tab changes only the fragment.
  addEventListener('hashchange', () => location.reload())
  const link = parseLink(location.href)
  if (link === null || link.kind === 'invite') {
    stage.value = { stage: 'incomplete' }
    return { stage, takeOver: () => {} }
  }
  const begin = (isTakingOver: boolean): void => {
    stage.value = { stage: 'starting' }
    void work(link, stage, isTakingOver).catch((error: unknown) => {
      stage.value = { stage: 'unable', ...reasonsAgainst(error) }
    })
  }
  begin(false)
  return { stage, takeOver: () => begin(true) }
}

async function work(link: SendLink | RequestLink, stage: { value: GuestStage }, isTakingOver: boolean): Promise<void> {
  const { portalUrl } = link
  const storageUrl = storageUrlOf(portalUrl, link.kind === 'send' ? 'g' : 'r', link.secret)
  await asOnlyTab(lockNameOf(storageUrl), isTakingOver, async (stop) => {
    removeLeftovers(portalUrl).catch(() => {})
    const context = { portalUrl, storageUrl, signal: stop }
    // Either loads while the browser is tried.
    if (link.kind === 'send') {
      const [{ LinkTaking }, abilities] = await Promise.all([import('./taking.ts'), triedAbilities(storageUrl)])
      stop.throwIfAborted()
      stage.value = { stage: 'taking', taking: new LinkTaking({ ...context, abilities, link }) }
    } else {
      const [{ openGiving }, abilities] = await Promise.all([import('./giving.ts'), triedAbilities(storageUrl)])
      stop.throwIfAborted()
      stage.value = { stage: 'giving', giving: openGiving({ ...context, abilities, link }) }
    }
  })
  stage.value = { stage: 'elsewhere' }
}

/** Tries the browser, and leaves nothing in it unless the link is in use already. @throws MissingAbilityError */
async function triedAbilities(storageUrl: string): Promise<Abilities> {
  const database = await openTriedDatabase(storageUrl, 'what comes or goes by this link')
  let isInUse = false
  try {
    isInUse = (await readLinkNote(database)) !== null
    return await tryAbilities(database, storageUrl)
  } finally {
    database.close()
    if (!isInUse) await removeStorage(storageUrl)
  }
}
