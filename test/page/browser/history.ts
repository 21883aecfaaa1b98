/** The history of the page, without its views. */
import { browserTransport } from '../../../src/client/browser-transport.ts'
import { PortalClient } from '../../../src/client/index.ts'
import { PageHistory } from '../../../src/page/model/history.ts'
import type { ReceiptLine } from '../../../src/page/model/types.ts'
import { PageContacts } from '../../../src/page/platform/contacts.ts'
import { openDatabase } from '../../../src/page/platform/database.ts'
import type { CommitRecord } from '../../../src/receiver/index.ts'
import { AccountKeys } from '../../../src/trust/index.ts'

let opening: Promise<PageHistory> | null = null
const records = new Map<string, CommitRecord>()

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
    recordOf: async (transferId) => records.get(transferId) ?? null,
    signal: new AbortController().signal,
  })
}

/** Makes its own keys. */
export async function know(account: string): Promise<void> {
  const { publicKeys } = await AccountKeys.generateHeld()
  await new PageContacts(await openDatabase(new URL('/', location.href).href)).check(account, publicKeys)
}

export async function load(): Promise<void> {
  await (await history()).load()
}

/** @returns whether there are more pages */
export async function loadMore(): Promise<boolean> {
  const one = await history()
  if (one.hasMore.value) await one.loadMore()
  return one.hasMore.value
}

export async function listed(): Promise<string[]> {
  return (await history()).lines.value.map(({ transferId }) => transferId)
}

/** Simulates a transfer that this browser received. */
export function remember(record: CommitRecord): void {
  records.set(record.transferId, record)
}

/** The receipts and the timeline of a received transfer. */
export async function ownReceipts(transferId: string): Promise<{ receipts: readonly ReceiptLine[]; steps: string[] }> {
  const { receipts, steps } = await (await history()).detail(transferId, false)
  return { receipts, steps: steps.map(({ text }) => text) }
}

/** @returns the name */
export async function received(transferId: string): Promise<string | null> {
  return (await (await history()).detail(transferId, false)).name
}

/** The hops, receipts and timeline of a sent transfer. */
export async function sent(transferId: string): Promise<{ hops: string[]; isProven: boolean[]; steps: string[] }> {
  const { picture, receipts, steps } = await (await history()).detail(transferId, true)
  return {
    hops: [picture.first.state, ...picture.second.map(({ hop }) => hop.state)],
    isProven: receipts.map((receipt) => receipt.isProven),
    steps: steps.map(({ text }) => text),
  }
}
