/**
 * A ledger and a store belong together: the ledger records which parts the store has. A portal with the wrong store, or a second portal
 * with a folder of its own over the database of the first, would not find stored parts, or would remove them as orphans. So ledger
 * and store each record the other's id, and a portal compares the ids before it serves.
 */
import { randomUUID } from 'node:crypto'
import { Problem } from '../../protocol/index.ts'
import type { Ledger } from '../ledger/contract.ts'
import type { Store } from '../store/contract.ts'

const ADOPT = 'If it is to be this one from now on: --adopt-store, and what lies in another store is lost'

/**
 * Checks that ledger and store belong together. If neither belongs to another one, they are bound to each other.
 *
 * @param isAdopted binds them even if they belonged to others
 * @throws Problem `storage-unusable` when they do not belong together
 */
export async function bindStore(
  ledger: Pick<Ledger, 'storeBinding' | 'bindStore'>,
  store: Pick<Store, 'owner' | 'claim'>,
  isAdopted: boolean,
): Promise<void> {
  const before = await ledger.storeBinding()
  const { ledgerId } = before
  let owner = ownerIn(await store.owner())
  if (owner === null || (isAdopted && owner.ledgerId !== ledgerId)) {
    if (before.storeId !== null && !isAdopted)
      throw another('the ledger has its parts in another store, and this one is new')
    await store.claim(`${randomUUID()} ${ledgerId}`, { isOnlyFirst: !isAdopted })
    // Another portal may have been faster.
    owner = ownerIn(await store.owner())
  }
  if (owner?.ledgerId !== ledgerId) throw another('this store belongs to another ledger')
  const storeId = await ledger.bindStore(owner.storeId, { isInstead: isAdopted })
  if (storeId !== owner.storeId) throw another('the ledger has its parts in another store')
}

interface Owner {
  readonly storeId: string
  readonly ledgerId: string
}

function ownerIn(text: string | null): Owner | null {
  const [storeId = '', ledgerId = ''] = text?.trim().split(' ') ?? []
  return text === null ? null : { storeId, ledgerId }
}

function another(what: string): Problem {
  return new Problem('storage-unusable', {
    detail: `${what}. Give each portal its own, and all nodes the same. ${ADOPT}`,
  })
}
