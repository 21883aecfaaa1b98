/** Lists of transfers, the newest first, page by page. */
import { type Static, Type } from 'typebox'
import { TransferId, transfersPerPageMax } from '../../protocol/index.ts'
import type { Transfer } from '../ledger/contract.ts'
import { countOf, countText } from './openapi/parameters.ts'
import { pageOf } from './pages.ts'

/** @param limitDefault the number of items for a client that names none */
export function listQuery(limitDefault: number) {
  return Type.Object(
    { limit: Type.Optional(countText(transfersPerPageMax, limitDefault)), before: Type.Optional(TransferId) },
    { additionalProperties: false },
  )
}

/**
 * Answers a query of {@link listQuery}.
 *
 * @param read reads the transfers before one, or the newest
 * @returns the items, and what the next page is to come before; null where there is none
 */
export async function listPage<Item>(
  query: Static<ReturnType<typeof listQuery>>,
  limitDefault: number,
  read: (page: { before: string | null; limit: number }) => Promise<Transfer[]>,
  itemOf: (transfer: Transfer) => Item,
): Promise<{ items: Item[]; before: string | null }> {
  const { items, last, isMore } = await pageOf<Transfer, Item>(
    countOf(query.limit, transfersPerPageMax, limitDefault),
    (row, limit) => read({ before: row?.transferId ?? query.before ?? null, limit }),
    itemOf,
  )
  return { items: [...items], before: isMore ? (last?.transferId ?? null) : null }
}
