/**
 * The keys of an account: Ed25519 to sign with (RFC 8032), X25519 to be sealed for (RFC 7748). The account's owner keeps
 * the private ones; the portal has the public ones, and nobody has to believe it: a fingerprint tells them apart.
 */
import { Problem, type PublicKeys } from '../protocol/index.ts'
import { concat, fromBase64Url, toBase32, toBase64Url, utf8 } from './encoding.ts'

/** A key in the hands of WebCrypto, by whatever name the runtime's types call it. */
export type SubtleKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>

const KEY_BYTES = 32
const SECRET_PREFIX = 'glk_'
const FINGERPRINT_BYTES = 15
const FINGERPRINT_GROUP = 4
/** What stands before the raw key in PKCS #8 (RFC 8410 section 7), up to the algorithm: 1.3.101.112 and 1.3.101.110. */
const PKCS8_ED25519 = '302e020100300506032b657004220420'
const PKCS8_X25519 = '302e020100300506032b656e04220420'

function pkcs8(prefixHex: string, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const prefix = Uint8Array.from(prefixHex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
  return concat(prefix, key)
}

/** An account's own keys, as WebCrypto holds them. */
export interface HeldKeys {
  readonly publicKeys: PublicKeys
  readonly signingKey: SubtleKey
  readonly decryptionKey: SubtleKey
}

/** An account's own keys. Nobody has to be able to read them: whoever can is told so by {@link PortableKeys}. */
export class AccountKeys implements HeldKeys {
  readonly publicKeys: PublicKeys
  readonly signingKey: SubtleKey
  readonly decryptionKey: SubtleKey

  protected constructor({ publicKeys, signingKey, decryptionKey }: HeldKeys) {
    this.publicKeys = publicKeys
    this.signingKey = signingKey
    this.decryptionKey = decryptionKey
  }

  /** New ones, which can be written down. */
  static generate(): Promise<PortableKeys> {
    const raw = crypto.getRandomValues(new Uint8Array(2 * KEY_BYTES))
    return AccountKeys.parse(SECRET_PREFIX + toBase64Url(raw))
  }

  /** Reads what `secret` gave. @throws Error for anything else */
  static async parse(secret: string): Promise<PortableKeys> {
    const raw = secret.startsWith(SECRET_PREFIX) ? fromBase64Url(secret.slice(SECRET_PREFIX.length)) : null
    if (raw?.length !== 2 * KEY_BYTES) throw new Error('these are no keys of an account')
    const signingKey = await importPrivate('Ed25519', pkcs8(PKCS8_ED25519, raw.subarray(0, KEY_BYTES)), ['sign'])
    const decryptionKey = await importPrivate('X25519', pkcs8(PKCS8_X25519, raw.subarray(KEY_BYTES)), ['deriveBits'])
    const publicKeys = { signing: await publicOf(signingKey), encryption: await publicOf(decryptionKey) }
    return new PortableKeys(secret, { publicKeys, signingKey, decryptionKey })
  }

  /**
   * New ones that never leave WebCrypto: who runs here may use them, but nobody can take them away. They can be kept as they are
   * where keys can be, in IndexedDB.
   */
  static async generateHeld(): Promise<AccountKeys> {
    const signing = await heldPair('Ed25519', ['sign', 'verify'])
    const encryption = await heldPair('X25519', ['deriveBits'])
    const publicKeys = {
      signing: await rawPublic(signing.publicKey),
      encryption: await rawPublic(encryption.publicKey),
    }
    return new AccountKeys({ publicKeys, signingKey: signing.privateKey, decryptionKey: encryption.privateKey })
  }

  /** Those that were kept. */
  static fromHeld(keys: HeldKeys): AccountKeys {
    return new AccountKeys(keys)
  }
}

/** Keys of an account that can be written down. */
export class PortableKeys extends AccountKeys {
  readonly #secret: string

  constructor(secret: string, keys: HeldKeys) {
    super(keys)
    this.#secret = secret
  }

  /** Everything there is to keep: `glk_` and the two raw private keys. Not to be shown; so printing this does not. */
  get secret(): string {
    return this.#secret
  }
}

/** A pair of keys, of which the private one cannot be exported. */
async function heldPair(name: string, usages: ('sign' | 'verify' | 'deriveBits')[]) {
  const made: object = await crypto.subtle.generateKey({ name }, false, usages)
  // Types of WebCrypto do not know which algorithms make pairs.
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

/** What was made of public keys lately: the same few are asked for with every file. */
class Recent<Value> {
  readonly #values = new Map<string, Promise<Value>>()

  /** What `make` made of the keys, now or before. A failure is not remembered. */
  of({ signing, encryption }: PublicKeys, make: () => Promise<Value>): Promise<Value> {
    const name = `${signing} ${encryption}`
    let value = this.#values.get(name)
    if (value === undefined) {
      value = make()
      value.catch(() => this.#values.delete(name))
      if (this.#values.size >= RECENT_KEYS_MAX) this.#values.clear()
      this.#values.set(name, value)
    }
    return value
  }
}

const RECENT_KEYS_MAX = 1_000
const verificationKeys = new Recent<SubtleKey>()
const fingerprints = new Recent<string>()

/** The key to verify signatures with. @throws Problem `signature-invalid` where it is none */
export function verificationKey(keys: PublicKeys): Promise<SubtleKey> {
  return verificationKeys.of(keys, async () => {
    const raw = fromBase64Url(keys.signing)
    try {
      if (raw?.length !== KEY_BYTES) throw new Error('not 32 bytes')
      return await crypto.subtle.importKey('raw', raw, { name: 'Ed25519' }, true, ['verify'])
    } catch (cause) {
      throw new Problem('signature-invalid', { detail: 'the public key is none' }, { cause })
    }
  })
}

/** The raw public key to seal for. @throws Problem `keys-missing` where it is none */
export function encryptionKeyBytes({ encryption }: PublicKeys): Uint8Array<ArrayBuffer> {
  const raw = fromBase64Url(encryption)
  if (raw?.length !== KEY_BYTES) throw new Problem('keys-missing', { detail: 'the public key is none' })
  return raw
}

/**
 * What people compare: 120 bits of a digest over both public keys, as six groups of four letters and digits.
 *
 * @throws Problem `keys-missing` where they are none
 */
export function fingerprintOf(keys: PublicKeys): Promise<string> {
  return fingerprints.of(keys, async () => {
    const raw = [keys.signing, keys.encryption].map((key) => {
      const bytes = fromBase64Url(key)
      if (bytes?.length !== KEY_BYTES) throw new Problem('keys-missing', { detail: 'the public keys are none' })
      return bytes
    })
    const hash = await crypto.subtle.digest('SHA-256', concat(utf8('golooader keys v1\0'), ...raw))
    return grouped(toBase32(new Uint8Array(hash, 0, FINGERPRINT_BYTES)))
  })
}

/** Reads a fingerprint as people write it: in capitals, with blanks, without dashes. @returns null where it is none */
export function parseFingerprint(text: string): string | null {
  // Looked at before the case is changed: there are other letters that become one of these.
  const plain = text.replace(/[\s-]/g, '')
  return /^[A-Za-z2-7]{24}$/.test(plain) ? grouped(plain.toLowerCase()) : null
}

function grouped(text: string): string {
  return text.match(new RegExp(`.{${FINGERPRINT_GROUP}}`, 'g'))?.join('-') ?? ''
}
