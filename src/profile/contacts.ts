/**
 * The trusted keys of other accounts, in the way of ssh's known hosts: the first keys seen are pinned, and other keys are refused
 * until a person confirms them.
 *
 * One file serves all portals. A contact is an account of one portal, because bob at two portals may be two people.
 */
import { statSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Static, Type } from 'typebox'
import { makeFolder, readTextOrNull, replaceFile, withFolderLock } from '../fs/index.ts'
import { AccountName, conforms, isGuestName, Problem, PublicKeys } from '../protocol/index.ts'
import { type Contact, type Contacts, checkGuest, fingerprintOf } from '../trust/index.ts'

const CONTACTS_VERSION = 1

export const StoredContact = Type.Object({
  portalUrl: Type.String(),
  account: AccountName,
  fingerprint: Type.String(),
  /** Null while only the fingerprint is known. The first keys with this fingerprint are pinned. */
  keys: Type.Union([PublicKeys, Type.Null()]),
  since: Type.String(),
  /** Why the keys are trusted: a person compared the fingerprint, or they were the first ones. */
  by: Type.Union([Type.Literal('fingerprint'), Type.Literal('first-use')]),
})

/** One contact as the file has it. */
export type StoredContact = Static<typeof StoredContact>

const ContactsFile = Type.Object({ version: Type.Literal(CONTACTS_VERSION), contacts: Type.Array(StoredContact) })

/** The contacts of one portal, in the file of all portals. */
export class FileContacts implements Contacts {
  readonly #path: string
  readonly #portalUrl: string
  /** The content of the file when it was last read. */
  #known: { readonly version: string; readonly contacts: readonly StoredContact[] } | null = null

  /** @param path of the file; it need not exist yet */
  constructor(path: string, portalUrl: string) {
    this.#path = path
    this.#portalUrl = portalUrl
  }

  async check(account: string, keys: PublicKeys): Promise<Contact> {
    if (isGuestName(account)) return checkGuest(account, keys)
    const fingerprint = await fingerprintOf(keys)
    const known = await this.#find(account)
    if (known !== undefined && isSame(known, keys)) return { account, keys, fingerprint }
    return this.#alone(async () => {
      const now = await this.#find(account)
      if (now !== undefined && !(now.keys === null ? now.fingerprint === fingerprint : isSame(now, keys))) {
        throw keysChanged(account, now.fingerprint, fingerprint)
      }
      const by = now?.by ?? 'first-use'
      await this.#put({ portalUrl: this.#portalUrl, account, fingerprint, keys, since: new Date().toISOString(), by })
      return { account, keys, fingerprint }
    })
  }

  async known(account: string): Promise<PublicKeys | null> {
    return (await this.#find(account))?.keys ?? null
  }

  async isPinned(account: string): Promise<boolean> {
    return isGuestName(account) || (await this.#find(account)) !== undefined
  }

  /** All contacts of the portal, by name. */
  async list(): Promise<StoredContact[]> {
    const own = (await this.#read()).filter(({ portalUrl }) => portalUrl === this.#portalUrl)
    return own.sort((one, other) => (one.account < other.account ? -1 : 1))
  }

  /**
   * Trusts a fingerprint that a person has compared. It replaces what was trusted before.
   *
   * @param keys the keys with this fingerprint, if they are known already
   */
  async trust(account: string, fingerprint: string, keys: PublicKeys | null): Promise<void> {
    await this.#alone(() =>
      this.#put({
        portalUrl: this.#portalUrl,
        account,
        fingerprint,
        keys,
        since: new Date().toISOString(),
        by: 'fingerprint',
      }),
    )
  }

  /**
   * Adds the contacts of another machine. What is known here stays as it is.
   *
   * @returns the accounts that are known here by other keys
   */
  async adopt(contacts: readonly StoredContact[]): Promise<string[]> {
    return this.#alone(async () => {
      const known = new Map((await this.list()).map((contact) => [contact.account, contact]))
      const added = contacts.filter(({ account }) => !known.has(account))
      if (added.length > 0) await this.#write([...(await this.#read()), ...added.map((one) => this.#own(one))])
      return contacts
        .filter(({ account, fingerprint }) => (known.get(account)?.fingerprint ?? fingerprint) !== fingerprint)
        .map(({ account }) => account)
    })
  }

  #own(contact: StoredContact): StoredContact {
    return { ...contact, portalUrl: this.#portalUrl }
  }

  async #find(account: string): Promise<StoredContact | undefined> {
    return (await this.#read()).find((one) => one.portalUrl === this.#portalUrl && one.account === account)
  }

  async #put(contact: StoredContact): Promise<void> {
    const others = (await this.#read()).filter(
      ({ portalUrl, account }) => portalUrl !== contact.portalUrl || account !== contact.account,
    )
    await this.#write([...others, contact])
  }

  async #write(contacts: readonly StoredContact[]): Promise<void> {
    await replaceFile(this.#path, `${JSON.stringify({ version: CONTACTS_VERSION, contacts }, null, 2)}\n`)
  }

  /** @throws Problem `request-invalid` for a damaged file: without its content, any keys would be trusted */
  async #read(): Promise<readonly StoredContact[]> {
    const version = versionOf(this.#path)
    if (this.#known?.version === version) return this.#known.contacts
    const text = await readTextOrNull(this.#path)
    if (text === null) return []
    try {
      const value: unknown = JSON.parse(text)
      if (conforms(ContactsFile, value)) {
        this.#known = { version, contacts: value.contacts }
        return value.contacts
      }
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
    }
    throw new Problem('request-invalid', {
      detail: `the list of contacts ${this.#path} is damaged: repair or remove it`,
    })
  }

  async #alone<Result>(act: () => Promise<Result>): Promise<Result> {
    const folder = dirname(this.#path)
    await makeFolder(folder)
    return withFolderLock(folder, `${this.#path}.lock`, act)
  }
}

/** A text that changes whenever the file is replaced. A missing file has one, too. */
function versionOf(path: string): string {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stats === undefined ? 'none' : [stats.dev, stats.ino, stats.size, stats.mtimeNs].join(' ')
}

function isSame({ keys }: StoredContact, { signing, encryption }: PublicKeys): boolean {
  return keys !== null && keys.signing === signing && keys.encryption === encryption
}

function keysChanged(account: string, trusted: string, offered: string): Problem {
  const detail = `${account} is known by the keys ${trusted}, and now has ${offered}`
  return new Problem('keys-changed', { account, trusted, offered, detail })
}
