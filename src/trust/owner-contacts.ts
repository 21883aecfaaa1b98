/**
 * The contacts of a guest: its owner, and no other account. The link has the fingerprint of the owner's keys, so nothing is trusted on
 * first use and nothing has to be remembered.
 */
import { Problem, type PublicKeys } from '../protocol/index.ts'
import { type Contact, type Contacts, fingerprintOf } from './keys.ts'

/** An account and the keys that a portal names for it. */
export interface NamedOwner {
  readonly account: string
  readonly keys: PublicKeys
}

export class OwnerContacts implements Contacts {
  readonly #owner: Contact

  private constructor(owner: Contact) {
    this.#owner = owner
  }

  /**
   * @param fingerprint of the owner's keys, from the link
   * @throws Problem `keys-changed` with the members `account`, `trusted` and `offered` when the portal names other keys
   */
  static async of(fingerprint: string, { account, keys }: NamedOwner): Promise<OwnerContacts> {
    const offered = await fingerprintOf(keys)
    if (offered !== fingerprint) throw notTheLinks(account, fingerprint, offered)
    return new OwnerContacts({ account, keys, fingerprint })
  }

  get owner(): Contact {
    return this.#owner
  }

  async check(account: string, keys: PublicKeys): Promise<Contact> {
    const offered = await fingerprintOf(keys)
    const isOwner = account === this.#owner.account && offered === this.#owner.fingerprint
    if (!isOwner) throw notTheLinks(account, this.#owner.fingerprint, offered)
    return this.#owner
  }

  async known(account: string): Promise<PublicKeys | null> {
    return account === this.#owner.account ? this.#owner.keys : null
  }

  async isPinned(account: string): Promise<boolean> {
    return account === this.#owner.account
  }
}

function notTheLinks(account: string, trusted: string, offered: string): Problem {
  const detail = `the link says the keys ${trusted}, and the portal names ${offered} for ${account}`
  return new Problem('keys-changed', { account, trusted, offered, isLink: true, detail })
}
