/**
 * Pages of lists, bounded by count and by bytes: some items are a thousand times as long as others, and a page of a hundred long ones
 * would be longer than clients accept. Rows are read a few at a time, so that the portal holds little more than it sends.
 */
import { pageBytesMax } from '../../protocol/index.ts'

/** Rows of the first read. Their length decides how many rows the next read takes. */
const FIRST_ROWS = 10

export interface ResultPage<Row, Item> {
  readonly items: readonly Item[]
  /** The row of the last item; null for an empty page. */
  readonly last: Row | null
  /** Whether there may be further items. */
  readonly isMore: boolean
}

/**
 * Reads one page. It has at least one item if there is one, so that a client that asks for page after page reaches the end.
 *
 * @param limit the largest number of items
 * @param rowsAfter reads the rows after a row, or from the beginning for null; fewer rows than requested mean the end
 * @param itemOf makes the item of a row
 */
export async function pageOf<Row, Item>(
  limit: number,
  rowsAfter: (row: Row | null, count: number) => Promise<readonly Row[]>,
  itemOf: (row: Row) => Item,
): Promise<ResultPage<Row, Item>> {
  const items: Item[] = []
  let last: Row | null = null
  let bytes = 0
  let count = Math.min(limit, FIRST_ROWS)
  while (items.length < limit) {
    const rows: readonly Row[] = await rowsAfter(last, count)
    for (const row of rows) {
      const item = itemOf(row)
      bytes += Buffer.byteLength(JSON.stringify(item))
      if (bytes > pageBytesMax && items.length > 0) return { items, last, isMore: true }
      items.push(item)
      last = row
    }
    if (rows.length < count) return { items, last, isMore: false }
    const thatFit = Math.floor((pageBytesMax - bytes) / (bytes / items.length)) + 1
    count = Math.min(limit - items.length, Math.max(1, thatFit))
  }
  return { items, last, isMore: true }
}
