/**
 * The content key: 32 random bytes for one transfer, from which every key that seals something of it is derived. It
 * travels wrapped for each who may open the transfer (HPKE, RFC 9180).
 */
import * as HPKE from 'hpke'
import { conforms, PlainMetadata, Problem, type PublicKeys } from '../protocol/index.ts'
import { concat, fromBase64Url, isEqual, toBase64Url, transferIdBytes, utf8 } from './encoding.ts'
import { type AccountKeys, encryptionKeyBytes, type SubtleKey } from './keys.ts'

const KEY_BYTES = 32
/** What HPKE sends along: an ephemeral public key. */
const ENCAPSULATED_BYTES = 32
const NONCE_BYTES = 12
/** A name tells by its length, so all are made to look alike. */
const METADATA_PAD_BYTES = 256
const PAD = 0x20

const suite = new HPKE.CipherSuite(HPKE.KEM_DHKEM_X25519_HKDF_SHA256, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_256_GCM)

/** What a wrapped content key is bound to: it opens no other transfer, and none of another sender. */
export interface WrapContext {
  readonly transferId: string
  readonly from: string
  readonly to: string
}

export class ContentKey {
  readonly #transferId: string
  readonly #raw: Uint8Array<ArrayBuffer>
  readonly #metadataKey: Uint8Array<ArrayBuffer>
  readonly #commitment: Uint8Array<ArrayBuffer>
  readonly #partKey: Uint8Array
  readonly #contentSalt: Uint8Array

  private constructor(
    transferId: string,
    raw: Uint8Array<ArrayBuffer>,
    derived: Record<Purpose, Uint8Array<ArrayBuffer>>,
  ) {
    this.#transferId = transferId
    this.#raw = raw
    this.#metadataKey = derived.metadata
    this.#commitment = derived.commitment
    this.#partKey = derived.part
    this.#contentSalt = derived.content
  }

  /** Seals the parts. */
  get partKey(): Uint8Array {
    return this.#partKey
  }

  /** Blinds the content digest, so that nobody recognises a file by it who cannot open it. */
  get contentSalt(): Uint8Array {
    return this.#contentSalt
  }

  static generate(transferId: string): Promise<ContentKey> {
    return ContentKey.#derive(transferId, crypto.getRandomValues(new Uint8Array(KEY_BYTES)))
  }

  /** @throws Problem `seal-unopenable` when it was not wrapped for these keys, this transfer and these accounts */
  static async unwrap(wrapped: string, context: WrapContext, keys: AccountKeys): Promise<ContentKey> {
    const bytes = fromBase64Url(wrapped)
    try {
      if (bytes === null || bytes.length <= ENCAPSULATED_BYTES) throw new Error('too short')
      const encapsulated = bytes.subarray(0, ENCAPSULATED_BYTES)
      const publicKey = await suite.DeserializePublicKey(encryptionKeyBytes(keys.publicKeys))
      const pair = { privateKey: keys.decryptionKey, publicKey }
      const raw = await suite.Open(pair, encapsulated, bytes.subarray(ENCAPSULATED_BYTES), { info: infoOf(context) })
      if (raw.length !== KEY_BYTES) throw new Error('not a content key')
      return await ContentKey.#derive(context.transferId, raw.slice())
    } catch (cause) {
      throw new Problem('seal-unopenable', {}, { cause })
    }
  }

  /** @throws Problem `keys-missing` when the public key is none */
  async wrap(context: WrapContext, to: PublicKeys): Promise<string> {
    if (context.transferId !== this.#transferId) throw new Error('a content key belongs to one transfer')
    try {
      const publicKey = await suite.DeserializePublicKey(encryptionKeyBytes(to))
      const { encapsulatedSecret, ciphertext } = await suite.Seal(publicKey, this.#raw, { info: infoOf(context) })
      return toBase64Url(concat(encapsulatedSecret, ciphertext))
    } catch (cause) {
      if (cause instanceof Problem) throw cause
      throw new Problem('keys-missing', { account: context.to, detail: 'its public key is none' }, { cause })
    }
  }

  /** @returns the commitment to this key, then the encrypted metadata; base64url */
  async sealMetadata(metadata: PlainMetadata): Promise<string> {
    const text = utf8(JSON.stringify(metadata))
    const padded = new Uint8Array(Math.ceil(text.length / METADATA_PAD_BYTES) * METADATA_PAD_BYTES).fill(PAD)
    padded.set(text)
    const sealed = await crypto.subtle.encrypt(this.#metadataCipher(), await this.#aesKey(), padded)
    return toBase64Url(concat(this.#commitment, new Uint8Array(sealed)))
  }

  /**
   * The commitment makes sure that all receivers have the same key: AES-GCM alone would let a sender make content that
   * opens differently for two of them.
   *
   * @throws Problem `seal-broken`
   */
  async openMetadata(sealed: string): Promise<PlainMetadata> {
    const bytes = fromBase64Url(sealed)
    try {
      if (bytes === null || !isEqual(bytes.subarray(0, KEY_BYTES), this.#commitment)) throw new Error('another key')
      const text = await crypto.subtle.decrypt(this.#metadataCipher(), await this.#aesKey(), bytes.subarray(KEY_BYTES))
      const metadata: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text))
      if (!conforms(PlainMetadata, metadata)) throw new Error('not metadata')
      return metadata
    } catch (cause) {
      throw new Problem('seal-broken', { detail: 'the metadata cannot be opened' }, { cause })
    }
  }

  /** The key seals this one message only, so that its nonce may be fixed. */
  #metadataCipher() {
    return { name: 'AES-GCM', iv: new Uint8Array(NONCE_BYTES), additionalData: transferIdBytes(this.#transferId) }
  }

  #aesKey(): Promise<SubtleKey> {
    return crypto.subtle.importKey('raw', this.#metadataKey, 'AES-GCM', false, ['encrypt', 'decrypt'])
  }

  static async #derive(transferId: string, raw: Uint8Array<ArrayBuffer>): Promise<ContentKey> {
    const key = await crypto.subtle.importKey('raw', raw, 'HKDF', false, ['deriveBits'])
    const salt = transferIdBytes(transferId)
    const derive = async (purpose: Purpose): Promise<Uint8Array<ArrayBuffer>> => {
      const info = utf8(`golooader v1 ${purpose}`)
      const bits = await crypto.subtle.deriveBits({ name: 'HKDF', hash: 'SHA-256', salt, info }, key, KEY_BYTES * 8)
      return new Uint8Array(bits)
    }
    const [part, metadata, commitment, content] = await Promise.all(
      (['part', 'metadata', 'commitment', 'content'] as const).map(derive),
    )
    if (part === undefined || metadata === undefined || commitment === undefined || content === undefined) {
      throw new Error('a key was not derived')
    }
    return new ContentKey(transferId, raw, { part, metadata, commitment, content })
  }
}

type Purpose = 'part' | 'metadata' | 'commitment' | 'content'

function infoOf({ transferId, from, to }: WrapContext): Uint8Array {
  return utf8(['golooader v1 content key', transferId, from, to].join('\0'))
}
