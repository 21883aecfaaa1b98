/**
 * What the page keeps in this browser, under the origin of the portal and nowhere else: who one is, whom one knows, what is being
 * sent and received. Everything that a promise stands on is written with `strict` durability: it is on disk when the
 * write has resolved.
 */
import { type DBSchema, type IDBPDatabase, openDB, type StoreNames } from 'idb'

/** Each part of the page describes what it keeps in its own words; here is only by which key it is found. */
export interface PageSchema extends DBSchema {
  /** The account of this browser, by the name `own`. */
  identity: { key: string; value: unknown }
  /** By account. */
  contacts: { key: string; value: unknown }
  /** By transfer and receiver. */
  receipts: { key: [transferId: string, receiver: string]; value: unknown }
  /** What is being sent, by what makes two sends the same one. */
  journal: { key: string; value: unknown }
  /** What was sealed, by transfer and part number. */
  sealed: { key: [transferId: string, partNumber: number]; value: string }
  /** What is being received, and what has been, by transfer. */
  arrivals: { key: string; value: unknown }
  settings: { key: string; value: unknown }
}

export type PageDatabase = IDBPDatabase<PageSchema>

const VERSION = 1
const durable = { durability: 'strict' } as const
const stores: readonly StoreNames<PageSchema>[] = [
  'identity',
  'contacts',
  'receipts',
  'journal',
  'sealed',
  'arrivals',
  'settings',
]

/** @param portalUrl several portals may share an origin, under a path each */
export function openDatabase(portalUrl: string): Promise<PageDatabase> {
  return openDB<PageSchema>(`golooader ${new URL(portalUrl).pathname}`, VERSION, {
    upgrade(database) {
      for (const name of stores) database.createObjectStore(name)
    },
  })
}

/** Changes one store; durable when it resolves. */
export async function change<Name extends StoreNames<PageSchema>>(
  database: PageDatabase,
  store: Name,
  make: (objects: ReturnType<typeof transactionOf<Name>>['store']) => Promise<unknown>,
): Promise<void> {
  const transaction = transactionOf(database, store)
  await make(transaction.store)
  await transaction.done
}

function transactionOf<Name extends StoreNames<PageSchema>>(database: PageDatabase, store: Name) {
  return database.transaction(store, 'readwrite', durable)
}

/** A transaction that changes several stores, or decides by what it finds; durable when it is `done`. */
export function writing<Name extends StoreNames<PageSchema>>(database: PageDatabase, names: Name[]) {
  return database.transaction(names, 'readwrite', durable)
}
