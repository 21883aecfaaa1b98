/**
 * Who is known by which keys, in the browser's database: the first ones seen are pinned, and others are refused from then on
 * until somebody says that they are right.
 */
import * as Type from 'typebox'
import { AccountName, conforms, Problem, PublicKeys } from '../../protocol/index.ts'
import { type Contact, type Contacts, fingerprintOf } from '../../trust/index.ts'
import { change, type PageDatabase, writing } from './database.ts'

const StoredContact = Type.Object({
  account: AccountName,
  fingerprint: Type.String(),
  /** Null while only the fingerprint is known: the first keys that have it are taken. */
  keys: Type.Union([PublicKeys, Type.Null()]),
  since: Type.String(),
  /** How it came to be trusted: by a person who compared the fingerprint, or because it was the first. */
  by: Type.Union([Type.Literal('fingerprint'), Type.Literal('first-use')]),
})

/** One contact, as it is kept. */
export type StoredContact = Type.Static<typeof StoredContact>

export class PageContacts implements Contacts {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async check(account: string, keys: PublicKeys): Promise<Contact> {
    const fingerprint = await fingerprintOf(keys)
    const transaction = writing(this.#database, ['contacts'])
    const contacts = transaction.objectStore('contacts')
    const known = asContact(account, await contacts.get(account))
    const isTrusted = known === null || (known.keys === null ? known.fingerprint === fingerprint : isSame(known, keys))
    if (isTrusted && known?.keys == null) {
      const by = known?.by ?? 'first-use'
      await contacts.put({ account, fingerprint, keys, since: new Date().toISOString(), by }, account)
    }
    await transaction.done
    if (isTrusted) return { account, keys, fingerprint }
    const detail = `${account} is known by the keys ${known.fingerprint}, and now has ${fingerprint}`
    throw new Problem('keys-changed', { account, trusted: known.fingerprint, offered: fingerprint, detail })
  }

  async known(account: string): Promise<PublicKeys | null> {
    return (await this.find(account))?.keys ?? null
  }

  async isPinned(account: string): Promise<boolean> {
    return (await this.find(account)) !== null
  }

  /** @throws Problem `request-invalid` for one that is damaged: to go on would mean to trust anybody */
  async find(account: string): Promise<StoredContact | null> {
    return asContact(account, await this.#database.get('contacts', account))
  }

  /** All of them, by name. */
  async list(): Promise<StoredContact[]> {
    const [accounts, values] = await Promise.all([
      this.#database.getAllKeys('contacts'),
      this.#database.getAll('contacts'),
    ])
    return accounts.map((account, index) => asContact(account, values[index])).filter((contact) => contact !== null)
  }

  /**
   * Trusts a fingerprint that a person has compared, in place of whatever was trusted before.
   *
   * @param keys those of the fingerprint, if they are known already
   */
  async trust(account: string, fingerprint: string, keys: PublicKeys | null): Promise<void> {
    const contact: StoredContact = { account, fingerprint, keys, since: new Date().toISOString(), by: 'fingerprint' }
    await change(this.#database, 'contacts', (contacts) => contacts.put(contact, account))
  }

  /** Whoever has the name next is pinned as if nobody had had it. */
  async forget(account: string): Promise<void> {
    await change(this.#database, 'contacts', (contacts) => contacts.delete(account))
  }
}

function asContact(account: string, value: unknown): StoredContact | null {
  if (value === undefined) return null
  if (conforms(StoredContact, value) && value.account === account) return value
  throw new Problem('request-invalid', {
    detail: `what this browser knows of ${account} is damaged: forget the contact`,
  })
}

function isSame({ keys }: StoredContact, { signing, encryption }: PublicKeys): boolean {
  return keys !== null && keys.signing === signing && keys.encryption === encryption
}
