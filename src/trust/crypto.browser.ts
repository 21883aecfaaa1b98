/** Cryptography by WebCrypto, for browsers. It also runs in Node. */
import * as HPKE from 'hpke'
import { type CryptoDriver, encapsulatedBytes, type GcmKey, gcmTagBytes, scryptCost } from './crypto-driver.ts'
import { concat, utf8 } from './encoding.ts'
import { type SubtleKey, untilKeyIsMade } from './keys.ts'

const KEY_BITS = 256
const suite = new HPKE.CipherSuite(HPKE.KEM_DHKEM_X25519_HKDF_SHA256, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM)
/** The types of WebCrypto exclude shared memory, which is not used here. */
type Bytes = Uint8Array<ArrayBuffer>

export const cryptoDriver: CryptoDriver = {
  async sign(key, message) {
    return new Uint8Array(await crypto.subtle.sign('Ed25519', key, message as Bytes))
  },
  async verify(publicKey, signature, message) {
    const key = await crypto.subtle.importKey('raw', publicKey as Bytes, { name: 'Ed25519' }, true, ['verify'])
    return crypto.subtle.verify('Ed25519', key, signature as Bytes, message as Bytes)
  },
  async hpkeSeal(publicKey, binding, plain) {
    const key = await suite.DeserializePublicKey(publicKey)
    // `Seal` makes an ephemeral key pair, which may fail.
    const { encapsulatedSecret, ciphertext } = await untilKeyIsMade(() => suite.Seal(key, plain, binding))
    return concat(encapsulatedSecret, ciphertext)
  },
  async hpkeOpen({ publicKey, decryptionKey }, binding, sealed) {
    const pair = { privateKey: decryptionKey, publicKey: await suite.DeserializePublicKey(publicKey) }
    const encapsulated = sealed.subarray(0, encapsulatedBytes)
    return suite.Open(pair, encapsulated, sealed.subarray(encapsulatedBytes), binding)
  },
  async hkdf(secret, salt, infos) {
    const key = await crypto.subtle.importKey('raw', secret as Bytes, 'HKDF', false, ['deriveBits'])
    const derive = async (info: string): Promise<Uint8Array> => {
      const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: salt as Bytes, info: utf8(info) }
      return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, KEY_BITS))
    }
    return Promise.all(infos.map(derive))
  },
  async scrypt(passphrase, salt) {
    // Loaded only for links that have a passphrase.
    const { scrypt } = await import('../digests/browser-scrypt.ts')
    return scrypt(passphrase, salt, scryptCost)
  },
  async encrypt(cipher, plain) {
    const key = await importKey(cipher, 'encrypt')
    return new Uint8Array(await crypto.subtle.encrypt(algorithmOf(cipher), key, plain as Bytes))
  },
  async decrypt(cipher, sealed) {
    const key = await importKey(cipher, 'decrypt')
    return new Uint8Array(await crypto.subtle.decrypt(algorithmOf(cipher), key, sealed as Bytes))
  },
}

function importKey({ key }: GcmKey, usage: 'encrypt' | 'decrypt'): Promise<SubtleKey> {
  return crypto.subtle.importKey('raw', key as Bytes, 'AES-GCM', false, [usage])
}

function algorithmOf({ nonce, aad }: GcmKey) {
  return { name: 'AES-GCM', iv: nonce as Bytes, additionalData: aad as Bytes, tagLength: gcmTagBytes * 8 }
}
