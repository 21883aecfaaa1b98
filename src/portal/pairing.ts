/**
 * A ledger and a store belong together: what one says is held, the other has. A portal that was started with the wrong one of
 * them, or a second portal with a folder of its own over the database of the first, would lose what has been acknowledged: it
 * would not find it, or take it for orphans. So each knows the other's id, and a portal looks before it serves.
 */
import { randomUUID } from 'node:crypto'
import { Problem } from '../protocol/index.ts'
import type { Ledger } from './ledger/contract.ts'
import type { Store } from './store/contract.ts'

const ADOPT = 'If it is to be this one from now on: --adopt-store, and what lies in another store is lost'

/**
 * Makes sure that ledger and store belong together. Those that have not belonged to any other are paired.
 *
 * @param isAdopted pairs them whatever they belonged to
 * @throws Problem `storage-unusable` where they do not
 */
export async function pair(ledger: Ledger, store: Store, isAdopted: boolean): Promise<void> {
  const before = await ledger.pairing()
  const { ledgerId } = before
  let owner = ownerIn(await store.owner())
  if (owner === null || (isAdopted && owner.ledgerId !== ledgerId)) {
    if (before.storeId !== null && !isAdopted)
      throw another('the ledger has its parts in another store, and this one is new')
    await store.claim(`${randomUUID()} ${ledgerId}`, { isOnlyFirst: !isAdopted })
    // Somebody else may have been faster.
    owner = ownerIn(await store.owner())
  }
  if (owner?.ledgerId !== ledgerId) throw another('this store belongs to another ledger')
  const storeId = await ledger.pairWith(owner.storeId, { isInstead: isAdopted })
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
