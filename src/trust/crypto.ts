/**
 * Cryptography by node:crypto, without the threads and promises of WebCrypto, which cost more than the arithmetic for a small file.
 * Each call blocks the process for some ten microseconds.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  KeyObject,
  scrypt,
  sign,
  verify,
} from 'node:crypto'
import {
  type CryptoDriver,
  encapsulatedBytes,
  type GcmKey,
  gcmTagBytes,
  type HpkeBinding,
  scryptCost,
} from './crypto-driver.ts'
import { concat, utf8 } from './encoding.ts'
import type { SubtleKey } from './keys.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
/** The block length of SHA-256. */
const BLOCK_BYTES = 64
const ALGORITHM = 'aes-256-gcm'
/** The bytes before a raw key in SubjectPublicKeyInfo (RFC 8410 section 4). */
const SPKI = { Ed25519: '302a300506032b6570032100', X25519: '302a300506032b656e032100' } as const
/** RFC 9180 section 7: the identifiers of DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM. */
const KEM_SUITE = concat(utf8('KEM'), Uint8Array.of(0, 0x20))
const HPKE_SUITE = concat(utf8('HPKE'), Uint8Array.of(0, 0x20, 0, 1, 0, 2))
const MODE_BASE = Uint8Array.of(0)
const NOTHING = new Uint8Array()
const KEYS_MAX = 1_000
/** scrypt needs 128 · N · r bytes, and a little more. */
const SCRYPT_MEMORY_BYTES_MAX = 2 * 128 * scryptCost.N * scryptCost.r

export const cryptoDriver: CryptoDriver = {
  sign: (key, message) => sign(null, message, nodeKey(key)),
  verify: (publicKey, signature, message) => verify(null, message, publicKeyOf('Ed25519', publicKey), signature),
  hpkeSeal(publicKey, binding, plain) {
    // Encoded as it is made: to derive and export the public half of a finished key takes as long as to make another one.
    const pair = generateKeyPairSync('x25519', { publicKeyEncoding: { format: 'der', type: 'spki' } })
    // Node's types know no pair of which only one half is encoded.
    const encoded = pair.publicKey as unknown as Buffer
    return hpkeSealFrom(pair.privateKey, publicKey, binding, plain, encoded.subarray(-KEY_BYTES))
  },
  hpkeOpen({ publicKey, decryptionKey }, binding, sealed) {
    const encapsulated = sealed.subarray(0, encapsulatedBytes)
    const secret = diffieHellman({
      privateKey: nodeKey(decryptionKey),
      publicKey: publicKeyOf('X25519', encapsulated, { isKept: false }),
    })
    return decrypt(gcmKeyOf(secret, encapsulated, publicKey, binding), sealed.subarray(encapsulatedBytes))
  },
  hkdf(secret, salt, infos) {
    const extracted = hmac(salt, secret)
    return infos.map((info) => hmac(extracted, utf8(info), Uint8Array.of(1)))
  },
  scrypt: (passphrase, salt) =>
    new Promise((resolve, reject) =>
      scrypt(passphrase, salt, KEY_BYTES, { ...scryptCost, maxmem: SCRYPT_MEMORY_BYTES_MAX }, (error, key) =>
        error === null ? resolve(new Uint8Array(key)) : reject(error),
      ),
    ),
  encrypt,
  decrypt,
}

/**
 * The same with a given ephemeral key, for test vectors.
 *
 * @param encapsulated the raw public half of the ephemeral key
 */
export function hpkeSealFrom(
  ephemeralKey: KeyObject,
  publicKey: Uint8Array,
  binding: HpkeBinding,
  plain: Uint8Array,
  encapsulated: Uint8Array = rawPublicOf(ephemeralKey),
): Uint8Array {
  const secret = diffieHellman({ privateKey: ephemeralKey, publicKey: publicKeyOf('X25519', publicKey) })
  return concat(encapsulated, encrypt(gcmKeyOf(secret, encapsulated, publicKey, binding), plain))
}

/** RFC 9180 sections 4.1 and 5.1, for one message in base mode. */
function gcmKeyOf(
  dh: Uint8Array,
  encapsulated: Uint8Array,
  publicKey: Uint8Array,
  { info, aad = NOTHING }: HpkeBinding,
): GcmKey {
  const kemContext = concat(encapsulated, publicKey)
  const shared = expand(KEM_SUITE, extract(KEM_SUITE, NOTHING, 'eae_prk', dh), 'shared_secret', kemContext, KEY_BYTES)
  const context = concat(MODE_BASE, PSK_ID_HASH, extract(HPKE_SUITE, NOTHING, 'info_hash', info))
  const secret = extract(HPKE_SUITE, shared, 'secret', NOTHING)
  return {
    key: expand(HPKE_SUITE, secret, 'key', context, KEY_BYTES),
    nonce: expand(HPKE_SUITE, secret, 'base_nonce', context, NONCE_BYTES),
    aad,
  }
}

/** LabeledExtract of RFC 9180 section 4. */
function extract(suite: Uint8Array, salt: Uint8Array, label: string, secret: Uint8Array): Uint8Array {
  return hmac(salt, utf8('HPKE-v1'), suite, utf8(label), secret)
}

/** LabeledExpand of RFC 9180 section 4, for results of at most one block. */
function expand(suite: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, lengthBytes: number): Uint8Array {
  const length = Uint8Array.of(0, lengthBytes)
  return hmac(prk, length, utf8('HPKE-v1'), suite, utf8(label), info, Uint8Array.of(1)).subarray(0, lengthBytes)
}

/** The hash for an empty pre-shared key id. */
const PSK_ID_HASH = extract(HPKE_SUITE, NOTHING, 'psk_id_hash', NOTHING)

/**
 * HMAC-SHA256 (RFC 2104) with a key no longer than a block. Node's own makes several objects for each call and checks the kind of the
 * key, which takes ten times as long as the two digests.
 */
function hmac(key: Uint8Array, ...message: readonly Uint8Array[]): Uint8Array {
  if (key.length > BLOCK_BYTES) throw new Error('the key is longer than a block')
  const inner = hash('sha256', concat(padded(key, 0x36), ...message), 'buffer')
  return hash('sha256', concat(padded(key, 0x5c), inner), 'buffer')
}

function padded(key: Uint8Array, pad: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES).fill(pad)
  // By index, because an iterator makes an array for each byte.
  for (let index = 0; index < key.length; index++) block[index] = (key[index] ?? 0) ^ pad
  return block
}

function encrypt({ key, nonce, aad }: GcmKey, plain: Uint8Array): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: gcmTagBytes })
  cipher.setAAD(aad)
  const content = cipher.update(plain)
  cipher.final()
  return concat(content, cipher.getAuthTag())
}

function decrypt({ key, nonce, aad }: GcmKey, sealed: Uint8Array): Uint8Array {
  if (sealed.length < gcmTagBytes) throw new Error('there is no tag')
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: gcmTagBytes })
  decipher.setAAD(aad)
  decipher.setAuthTag(sealed.subarray(-gcmTagBytes))
  const plain = decipher.update(sealed.subarray(0, -gcmTagBytes))
  decipher.final()
  return plain
}

const nodeKeys = new WeakMap<SubtleKey, KeyObject>()

/** Converts a key to Node's type. */
function nodeKey(key: SubtleKey): KeyObject {
  let held = nodeKeys.get(key)
  if (held === undefined) {
    held = KeyObject.from(key)
    nodeKeys.set(key, held)
  }
  return held
}

/** A cache, because the keys of a few accounts are used with every file. */
const publicKeys = new Map<string, KeyObject>()

/** @throws Error when the bytes are not a valid key */
function publicKeyOf(kind: keyof typeof SPKI, raw: Uint8Array, { isKept = true } = {}): KeyObject {
  const name = `${kind} ${Buffer.from(raw).toString('latin1')}`
  let key = isKept ? publicKeys.get(name) : undefined
  if (key !== undefined) return key
  if (raw.length !== KEY_BYTES) throw new Error('a public key has 32 bytes')
  const spki = Buffer.concat([Buffer.from(SPKI[kind], 'hex'), raw])
  key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
  if (!isKept) return key
  if (publicKeys.size >= KEYS_MAX) publicKeys.clear()
  publicKeys.set(name, key)
  return key
}

function rawPublicOf(privateKey: KeyObject): Uint8Array {
  return createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES)
}
