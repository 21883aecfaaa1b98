/**
 * The data of the page, in this browser under the origin of the portal: the account, the contacts, and the transfers.
 * Every write that a guarantee depends on uses `strict` durability: it is on disk when the promise has resolved.
 */
import { type DBSchema, type IDBPDatabase, openDB, type StoreNames } from 'idb'

/** Each module defines the records that it stores. This schema defines only their keys. */
export interface PageSchema extends DBSchema {
  /** The account of this browser, under the key `own`. */
  identity: { key: string; value: unknown }
  /** Contacts, by account. */
  contacts: { key: string; value: unknown }
  /** Receipts, by transfer and receiver. */
  receipts: { key: [transferId: string, receiver: string]; value: unknown }
  /** Outgoing transfers, by the resume key. */
  journal: { key: string; value: unknown }
  /** Seal records, by transfer and part number. */
  sealed: { key: [transferId: string, partNumber: number]; value: string }
  /** Incoming and received transfers, by transfer. */
  arrivals: { key: string; value: unknown }
  /** Content and length of incoming files, for browsers without OPFS; by purpose, transfer and offset. */
  staged: { key: [purpose: string, transferId: string, atByte: number]; value: Uint8Array<ArrayBuffer> | number }
  /** Send links that this account has made, by the account of their first guest. */
  links: { key: string; value: unknown }
  /** Requests for files that this account has made, by their id. */
  requests: { key: string; value: unknown }
  settings: { key: string; value: unknown }
}

export type PageDatabase = IDBPDatabase<PageSchema>

/** Version 2 added `staged`, version 3 `links` and `requests`. */
const VERSION = 3
const durable = { durability: 'strict' } as const
const stores: readonly StoreNames<PageSchema>[] = [
  'identity',
  'contacts',
  'receipts',
  'journal',
  'sealed',
  'arrivals',
  'staged',
  'links',
  'requests',
  'settings',
]

/** @param portalUrl each portal has its own database, as several portals may share an origin under different paths */
export function openDatabase(portalUrl: string): Promise<PageDatabase> {
  return openDB<PageSchema>(`golooader ${new URL(portalUrl).pathname}`, VERSION, {
    upgrade(database) {
      for (const name of stores) {
        if (!database.objectStoreNames.contains(name)) database.createObjectStore(name)
      }
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

/** Starts a transaction that changes several stores or depends on their content; durable when `done` resolves. */
export function writing<Name extends StoreNames<PageSchema>>(database: PageDatabase, names: Name[]) {
  return database.transaction(names, 'readwrite', durable)
}
