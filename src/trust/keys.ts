/**
 * The keys of an account: Ed25519 to sign with (RFC 8032), and X25519 for which others seal (RFC 7748). The account's owner keeps
 * the private keys. The portal distributes the public ones; by their fingerprint, people check that they are the right ones.
 */
import { digestOf } from '../digests/index.ts'
import { fromHex, groupedFingerprint, Problem, type PublicKeys } from '../protocol/index.ts'
import { concat, fromBase64Url, toBase32, toBase64Url, utf8 } from './encoding.ts'

/** A key of WebCrypto. The runtimes' types have different names for it. */
export type SubtleKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

const KEY_BYTES = 32
const SECRET_PREFIX = 'glk_'
/** How often making a key is tried before it fails. */
const KEY_TRIES_MAX = 5
const FINGERPRINT_BYTES = 15
/** The bytes before the raw key in PKCS #8 (RFC 8410 section 7). They contain the algorithm: 1.3.101.112 or 1.3.101.110. */
const PKCS8_ED25519 = '302e020100300506032b657004220420'
const PKCS8_X25519 = '302e020100300506032b656e04220420'

function pkcs8(prefixHex: string, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const prefix = Uint8Array.from(prefixHex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
  return concat(prefix, key)
}

/** An account's own keys, held by WebCrypto. */
export interface HeldKeys {
  readonly publicKeys: PublicKeys
  readonly signingKey: SubtleKey
  readonly decryptionKey: SubtleKey
}

/** An account's own keys. They may not be exportable; {@link PortableKeys} are. */
export class AccountKeys implements HeldKeys {
  readonly publicKeys: PublicKeys
  readonly signingKey: SubtleKey
  readonly decryptionKey: SubtleKey

  protected constructor({ publicKeys, signingKey, decryptionKey }: HeldKeys) {
    this.publicKeys = publicKeys
    this.signingKey = signingKey
    this.decryptionKey = decryptionKey
  }

  /** Makes new keys that can be written to a file. */
  static generate(): Promise<PortableKeys> {
    const raw = crypto.getRandomValues(new Uint8Array(2 * KEY_BYTES))
    return AccountKeys.parse(SECRET_PREFIX + toBase64Url(raw))
  }

  /** Keys from 32 bytes each: the seed of Ed25519 (RFC 8032 section 5.1.5), and the private key of X25519. */
  static fromRaw(signingSeed: Uint8Array, decryptionKey: Uint8Array): Promise<PortableKeys> {
    return AccountKeys.parse(SECRET_PREFIX + toBase64Url(concat(signingSeed, decryptionKey)))
  }

  /** Reads the text that `secret` gave. @throws Error for any other text */
  static async parse(secret: string): Promise<PortableKeys> {
    const raw = secret.startsWith(SECRET_PREFIX) ? fromBase64Url(secret.slice(SECRET_PREFIX.length)) : null
    if (raw?.length !== 2 * KEY_BYTES) throw new Error('these are no keys of an account')
    const signingKey = await importPrivate('Ed25519', pkcs8(PKCS8_ED25519, raw.subarray(0, KEY_BYTES)), ['sign'])
    const decryptionKey = await importPrivate('X25519', pkcs8(PKCS8_X25519, raw.subarray(KEY_BYTES)), ['deriveBits'])
    const publicKeys = { signing: await publicOf(signingKey), encryption: await publicOf(decryptionKey) }
    return new PortableKeys(secret, { publicKeys, signingKey, decryptionKey })
  }

  /**
   * Makes new keys that cannot be exported: code in this page may use them, but cannot copy them. IndexedDB can store them.
   */
  static generateHeld(): Promise<AccountKeys> {
    return AccountKeys.#generatePairs({ isDecryptionKeyExtractable: false })
  }

  /**
   * Makes new keys whose decryption key can be exported, for browsers that cannot store it as it is. The caller wraps it at once,
   * and uses the unwrapped copy, which cannot be exported.
   */
  static generateWrappable(): Promise<AccountKeys> {
    return AccountKeys.#generatePairs({ isDecryptionKeyExtractable: true })
  }

  static async #generatePairs({ isDecryptionKeyExtractable }: { readonly isDecryptionKeyExtractable: boolean }) {
    const signing = await newPair('Ed25519', false, ['sign', 'verify'])
    const encryption = await newPair('X25519', isDecryptionKeyExtractable, ['deriveBits'])
    const publicKeys = {
      signing: await rawPublic(signing.publicKey),
      encryption: await rawPublic(encryption.publicKey),
    }
    return new AccountKeys({ publicKeys, signingKey: signing.privateKey, decryptionKey: encryption.privateKey })
  }

  /** Uses stored keys. */
  static fromHeld(keys: HeldKeys): AccountKeys {
    return new AccountKeys(keys)
  }
}

/** Keys of an account that can be written to a file. */
export class PortableKeys extends AccountKeys {
  readonly #secret: string

  constructor(secret: string, keys: HeldKeys) {
    super(keys)
    this.#secret = secret
  }

  /** All that has to be kept: `glk_` and the two raw private keys. Secret: printing this object does not show it. */
  get secret(): string {
    return this.#secret
  }
}

/**
 * Repeats `make` until it succeeds: WebKitGTK 2.50 rejects `generateKey` at random, about once in 110 times for Ed25519 and once in
 * 330 times for X25519.
 *
 * @throws what the last try threw
 */
export async function untilKeyIsMade<Result>(make: () => Promise<Result>): Promise<Result> {
  for (let triesLeft = KEY_TRIES_MAX - 1; ; triesLeft--) {
    try {
      return await make()
    } catch (error) {
      if (triesLeft === 0) throw error
    }
  }
}

/** Makes a pair of keys. @param isExtractable whether the private one can be exported */
async function newPair(name: string, isExtractable: boolean, usages: ('sign' | 'verify' | 'deriveBits')[]) {
  const made: object = await untilKeyIsMade(() => crypto.subtle.generateKey({ name }, isExtractable, usages))
  // The types of WebCrypto do not tell which algorithms make pairs.
  return made as { readonly publicKey: SubtleKey; readonly privateKey: SubtleKey }
}

async function rawPublic(key: SubtleKey): Promise<string> {
  return toBase64Url(new Uint8Array(await crypto.subtle.exportKey('raw', key)))
}

function importPrivate(
  name: string,
  key: Uint8Array<ArrayBuffer>,
  usages: ('sign' | 'deriveBits')[],
): Promise<SubtleKey> {
  return crypto.subtle.importKey('pkcs8', key, { name }, true, usages)
}

async function publicOf(key: SubtleKey): Promise<string> {
  const { x } = await crypto.subtle.exportKey('jwk', key)
  if (x === undefined) throw new Error('a private key without its public one')
  return x
}

/** A cache of values computed from public keys, because the same few keys are used with every file. */
class KeyCache<Value> {
  readonly #values = new Map<string, Promise<Value>>()

  /** The value for the keys, from the cache or from `make`. Failures are not cached. */
  of({ signing, encryption }: PublicKeys, make: () => Promise<Value>): Promise<Value> {
    const name = `${signing} ${encryption}`
    let value = this.#values.get(name)
    if (value === undefined) {
      value = make()
      value.catch(() => this.#values.delete(name))
      if (this.#values.size >= KEY_CACHE_ENTRIES_MAX) this.#values.clear()
      this.#values.set(name, value)
    }
    return value
  }
}

const KEY_CACHE_ENTRIES_MAX = 1_000
const fingerprints = new KeyCache<string>()

/** The raw public key that verifies signatures. @throws Problem `signature-invalid` when it is not a valid key */
export function signingKeyBytes({ signing }: PublicKeys): Uint8Array<ArrayBuffer> {
  const raw = fromBase64Url(signing)
  if (raw?.length !== KEY_BYTES) throw new Problem('signature-invalid', { detail: 'the public key is not valid' })
  return raw
}

/** The raw public key to seal for. @throws Problem `keys-missing` when it is not a valid key */
export function encryptionKeyBytes({ encryption }: PublicKeys): Uint8Array<ArrayBuffer> {
  const raw = fromBase64Url(encryption)
  if (raw?.length !== KEY_BYTES) throw new Problem('keys-missing', { detail: 'the public key is not valid' })
  return raw
}

/**
 * The fingerprint that people compare: 120 bits of a digest over both public keys, as six groups of four letters and digits.
 *
 * @throws Problem `keys-missing` when the keys are invalid
 */
export async function fingerprintOf(keys: PublicKeys): Promise<string> {
  return fingerprints.of(keys, async () => {
    const raw = [keys.signing, keys.encryption].map((key) => {
      const bytes = fromBase64Url(key)
      if (bytes?.length !== KEY_BYTES) throw new Problem('keys-missing', { detail: 'the public keys are not valid' })
      return bytes
    })
    const hash = fromHex(digestOf('sha-256', concat(utf8('golooader keys v1\0'), ...raw)))
    return groupedFingerprint(toBase32(hash.subarray(0, FINGERPRINT_BYTES)))
  })
}

/** An account and its trusted keys. */
export interface Contact {
  readonly account: string
  readonly keys: PublicKeys
  readonly fingerprint: string
}

/**
 * The trusted keys of other accounts. The name of a guest says its keys, so `check` compares them with the name, and nothing of a guest
 * is kept: `known` is null, `isPinned` true.
 */
export interface Contacts {
  /**
   * Checks the keys that a portal names for an account, and pins them if they are the first.
   *
   * @throws Problem `keys-changed` with the members `account`, `trusted` and `offered` when other keys are trusted
   */
  check(account: string, keys: PublicKeys): Promise<Contact>

  /** The pinned keys; null when there are none yet. */
  known(account: string): Promise<PublicKeys | null>

  /** Whether keys are pinned, or a fingerprint whose keys are not known yet. */
  isPinned(account: string): Promise<boolean>
}
