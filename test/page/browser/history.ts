/** The history of the page, without its views. */
import { browserTransport } from '../../../src/client/browser-transport.ts'
import { PortalClient } from '../../../src/client/index.ts'
import { PageHistory } from '../../../src/page/model/history.ts'
import { PageContacts } from '../../../src/page/platform/contacts.ts'
import { openDatabase } from '../../../src/page/platform/database.ts'
import { AccountKeys } from '../../../src/trust/index.ts'

let opening: Promise<PageHistory> | null = null

function history(): Promise<PageHistory> {
  opening ??= open()
  return opening
}

async function open(): Promise<PageHistory> {
  const portalUrl = new URL('/', location.href).href
  return new PageHistory({
    client: new PortalClient(browserTransport(portalUrl), 'glt_token'),
    account: 'bob',
    keys: await AccountKeys.generateHeld(),
    contacts: new PageContacts(await openDatabase(portalUrl)),
    signal: new AbortController().signal,
  })
}

/** By keys of its own. */
export async function know(account: string): Promise<void> {
  const { publicKeys } = await AccountKeys.generateHeld()
  await new PageContacts(await openDatabase(new URL('/', location.href).href)).check(account, publicKeys)
}

export async function load(): Promise<void> {
  await (await history()).load()
}

/** @returns whether there is more */
export async function loadMore(): Promise<boolean> {
  const one = await history()
  if (one.hasMore.value) await one.loadMore()
  return one.hasMore.value
}

export async function listed(): Promise<string[]> {
  return (await history()).lines.value.map(({ transferId }) => transferId)
}

/** @returns the name */
export async function received(transferId: string): Promise<string | null> {
  return (await (await history()).detail(transferId, false)).name
}

/** What is shown of one that was sent: its hops, its receipts, and what happened. */
export async function sent(transferId: string): Promise<{ hops: string[]; isProven: boolean[]; steps: string[] }> {
  const { picture, receipts, steps } = await (await history()).detail(transferId, true)
  return {
    hops: [picture.first.state, ...picture.second.map(({ hop }) => hop.state)],
    isProven: receipts.map((receipt) => receipt.isProven),
    steps: steps.map(({ text }) => text),
  }
}
