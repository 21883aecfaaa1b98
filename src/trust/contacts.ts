import type { PublicKeys } from '../protocol/index.ts'

/** An account by the keys that it is trusted by. */
export interface Contact {
  readonly account: string
  readonly keys: PublicKeys
  readonly fingerprint: string
}

/** Who is known by which keys. */
export interface Contacts {
  /**
   * The keys to use for an account: those that a portal names, pinned if they are the first.
   *
   * @throws Problem `keys-changed` with the members `account`, `trusted` and `offered`, when others are trusted
   */
  check(account: string, keys: PublicKeys): Promise<Contact>

  /** The keys that are pinned; null where there are none yet. */
  known(account: string): Promise<PublicKeys | null>

  /** Whether anything is pinned: keys, or a fingerprint whose keys nobody has shown yet. */
  isPinned(account: string): Promise<boolean>
}
