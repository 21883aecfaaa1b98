/**
 * The contacts of this browser and their keys, in its database. The page pins the first keys that it sees for a name.
 * It refuses other keys until the user confirms them.
 */
import * as Type from 'typebox'
import { AccountName, conforms, isGuestName, Problem, PublicKeys } from '../../protocol/index.ts'
import { type Contact, type Contacts, checkGuest, fingerprintOf } from '../../trust/index.ts'
import { change, type PageDatabase, writing } from './database.ts'

const ContactRow = Type.Object({
  account: AccountName,
  fingerprint: Type.String(),
  /** Null while only the fingerprint is known. The first keys that match the fingerprint are then pinned. */
  keys: Type.Union([PublicKeys, Type.Null()]),
  since: Type.String(),
  /** How the contact became trusted: the user compared the fingerprint, or it was the first one seen. */
  by: Type.Union([Type.Literal('fingerprint'), Type.Literal('first-use')]),
})

/** One contact, as the database stores it. */
export type ContactRow = Type.Static<typeof ContactRow>

export class PageContacts implements Contacts {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async check(account: string, keys: PublicKeys): Promise<Contact> {
    if (isGuestName(account)) return checkGuest(account, keys)
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
    return isGuestName(account) || (await this.find(account)) !== null
  }

  /**
   * @throws Problem `request-invalid` for a damaged entry. Ignoring it would make the page trust the next keys that it
   * sees.
   */
  async find(account: string): Promise<ContactRow | null> {
    return asContact(account, await this.#database.get('contacts', account))
  }

  /** All contacts, sorted by name. */
  async list(): Promise<ContactRow[]> {
    const [accounts, values] = await Promise.all([
      this.#database.getAllKeys('contacts'),
      this.#database.getAll('contacts'),
    ])
    return accounts.map((account, index) => asContact(account, values[index])).filter((contact) => contact !== null)
  }

  /**
   * Trusts a fingerprint that the user has compared. It replaces the previous one.
   *
   * @param keys the keys of the fingerprint, if they are known already
   */
  async trust(account: string, fingerprint: string, keys: PublicKeys | null): Promise<void> {
    const contact: ContactRow = { account, fingerprint, keys, since: new Date().toISOString(), by: 'fingerprint' }
    await change(this.#database, 'contacts', (contacts) => contacts.put(contact, account))
  }

  /** Forgets a contact. The next keys seen for the name are pinned as first keys. */
  async forget(account: string): Promise<void> {
    await change(this.#database, 'contacts', (contacts) => contacts.delete(account))
  }
}

function asContact(account: string, value: unknown): ContactRow | null {
  if (value === undefined) return null
  if (conforms(ContactRow, value) && value.account === account) return value
  throw new Problem('request-invalid', {
    detail: `what this browser knows of ${account} is damaged: forget the contact`,
  })
}

function isSame({ keys }: ContactRow, { signing, encryption }: PublicKeys): boolean {
  return keys !== null && keys.signing === signing && keys.encryption === encryption
}
