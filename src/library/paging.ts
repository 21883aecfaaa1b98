import { transfersPerPageMax } from '../protocol/index.ts'

/**
 * The newest items of a list, read page by page, because a portal may give fewer at a time than the caller wants.
 *
 * @param pageAt reads one page. An empty page, or one that is not older than the page before, ends the list
 */
export async function newest<Item extends { readonly transferId: string }>(
  count: number,
  pageAt: (page: { limit: number; before?: string }) => Promise<{ items: readonly Item[]; before: string | null }>,
): Promise<readonly Item[]> {
  const gathered: Item[] = []
  let before: string | null = null
  while (gathered.length < count) {
    const limit = Math.min(count - gathered.length, transfersPerPageMax)
    const page: { items: readonly Item[]; before: string | null } = await pageAt({
      limit,
      ...(before === null ? {} : { before }),
    })
    const last = before
    gathered.push(...page.items.filter(({ transferId }) => last === null || transferId < last))
    if (page.before === null || page.items.length === 0 || (last !== null && page.before >= last)) break
    before = page.before
  }
  return gathered.slice(0, count)
}
