/**
 * Moves a ledger from the SQLite file of a data folder to PostgreSQL, and the parts to another store. No portal may run meanwhile.
 *
 * The steps, each of which can be made again after a kill at any moment:
 *
 * 1. The folder is locked, and both ends are checked: the database and the store are new, or have this ledger already. A database that has it
 *    has all of it, and only the last step is left.
 * 2. The folder gets its mark (`startup/moved-mark.ts`): from now on no portal starts with it.
 * 3. The store is claimed for the ledger, and the parts are copied. Those that it has are left out.
 * 4. The ledger is copied in one transaction, together with the id of its new store.
 * 5. The mark says that the ledger has moved.
 *
 * Ledger and parts of the folder stay as they are.
 */
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { isThere, lockFolder } from '../../fs/index.ts'
import { Problem } from '../../protocol/index.ts'
import { copyLedger, hasLedger } from '../ledger/moving/copy.ts'
import { LedgerSource } from '../ledger/moving/source.ts'
import type { PortalOptions } from '../options.ts'
import { ledgerFile, openLedger, openStore } from '../startup/backends.ts'
import { type MovedMark, movedProblem, readMovedMark, writeMovedMark } from '../startup/moved-mark.ts'
import { type StorageLocation, storageLocationOf } from '../startup/storage-location.ts'
import { bindStore } from '../startup/store-binding.ts'
import type { Store } from '../store/contract.ts'
import { fsStore } from '../store/fs.ts'
import { copyParts, type PartsProgress } from './parts-copy.ts'

/** Where the ledger is, and where it goes. Without a `storeUrl`, the parts stay in the folder. */
export type LedgerMove = Pick<PortalOptions, 'dataFolder' | 'storeUrl'> & { readonly databaseUrl: string }

export interface MovedLedger {
  /** Where the portal has its data from now on, without secrets. */
  readonly keptIn: StorageLocation
  /** Whether an earlier run had moved the ledger completely. */
  readonly wasMoved: boolean
  /** Rows of the ledger; 0 when they had been copied by an earlier run. */
  readonly rows: number
  /** Parts that are in the new store now. 0 where the parts stay. */
  readonly parts: number
  readonly copiedBytes: number
  /** Parts that were damaged, and were left out. */
  readonly damaged: readonly { readonly transferId: string; readonly partNumber: number }[]
}

/**
 * @param onProgress called for each part
 * @throws Problem `folder-unavailable` while a portal uses the folder; `ledger-unusable`, `storage-unusable` when the database or the
 *   store is not new, or cannot be used; `ledger-moved` when the folder's ledger has moved to another place
 */
export async function moveLedger(
  move: LedgerMove,
  onProgress: (progress: PartsProgress) => void = () => {},
): Promise<MovedLedger> {
  const { dataFolder } = move
  const path = ledgerFile(dataFolder)
  if (!isThere(path)) {
    throw new Problem('ledger-unusable', { detail: `no portal has run in ${dataFolder}: it has no ledger to move` })
  }
  await using opened = new AsyncDisposableStack()
  const lock = await lockFolder(await realpath(dataFolder))
  opened.defer(() => lock.release())
  const keptIn = storageLocationOf(move)
  const mark = await readMovedMark(dataFolder)
  if (mark !== null && (mark.to.ledger !== keptIn.ledger || mark.to.parts !== keptIn.parts)) {
    throw movedProblem(dataFolder, mark)
  }
  if (mark?.state === 'moved') return { ...NOTHING, keptIn, wasMoved: true }

  await (await openLedger(move)).close()
  const source = opened.use(await LedgerSource.open(path))
  const noted = { ledgerId: source.ledgerId, to: { ...keptIn }, at: new Date().toISOString() }
  const isCopied = await hasLedger(source, move.databaseUrl)
  const result = isCopied ? NOTHING : await copyAll(move, source, noted, onProgress)
  await writeMovedMark(dataFolder, { ...noted, state: 'moved' })
  return { ...result, keptIn, wasMoved: false }
}

const NOTHING = { rows: 0, parts: 0, copiedBytes: 0, damaged: [] }

async function copyAll(
  move: LedgerMove,
  source: LedgerSource,
  noted: Omit<MovedMark, 'state'>,
  onProgress: (progress: PartsProgress) => void,
): Promise<Omit<MovedLedger, 'keptIn' | 'wasMoved'>> {
  const to = await openStore(move, { onStoreRequest: () => {} })
  await using _closing = { [Symbol.asyncDispose]: () => to.close() }
  const from = await storeToCopy(move, source, to)
  await writeMovedMark(move.dataFolder, { ...noted, state: 'moving' })
  const storeId = await claim(to, source)
  const parts = from === null ? null : await copyParts(source, { from, to }, onProgress)
  const rows = await copyLedger(source, { databaseUrl: move.databaseUrl, storeId })
  return {
    rows: [...rows.values()].reduce((sum, count) => sum + count, 0),
    parts: parts === null ? 0 : parts.copied + parts.known,
    copiedBytes: parts?.copiedBytes ?? 0,
    damaged: (parts?.damaged ?? []).map(({ transferId, partNumber }) => ({ transferId, partNumber })),
  }
}

/**
 * The store of the folder; null where the parts stay in their store.
 *
 * @throws Problem `storage-unusable` when the other store is not new, or when the ledger has its parts in a third one
 */
async function storeToCopy(
  { dataFolder }: LedgerMove,
  { ledgerId, storeId }: LedgerSource,
  to: Store,
): Promise<Store | null> {
  const owner = await to.owner()
  if (owner !== null && owner === `${storeId} ${ledgerId}`) return null
  if (owner !== null && !owner.endsWith(` ${ledgerId}`)) throw notNew('it belongs to another ledger')
  if (owner === null) for await (const _held of to.held()) throw notNew('it has parts')
  const from = await fsStore(join(dataFolder, 'store'))
  if (storeId === null || (await from.owner()) === `${storeId} ${ledgerId}`) return from
  const detail = 'the parts of this ledger are in an S3 store, and stay there: name the same one with --store'
  throw new Problem('storage-unusable', { detail })
}

function notNew(what: string): Problem {
  const detail = `the store is not new: ${what}. Name an empty one: --store 's3://…'`
  return new Problem('storage-unusable', { detail })
}

/** @returns the id of the store, which belongs to the ledger now */
async function claim(to: Store, { ledgerId, storeId }: LedgerSource): Promise<string> {
  let claimed = storeId
  const ledger = {
    storeBinding: async () => ({ ledgerId, storeId: null }),
    bindStore: async (id: string) => {
      claimed = id
      return id
    },
  }
  await bindStore(ledger, to, false)
  if (claimed === null) throw new Error('the store has no id')
  return claimed
}
