/**
 * The content key: 32 random bytes for one transfer. All keys that seal something of the transfer are derived from it. It
 * travels wrapped for each account that may open the transfer (HPKE, RFC 9180).
 */
import { conforms, PlainMetadata, Problem, type PublicKeys } from '../protocol/index.ts'
import { cryptoDriver } from './crypto.ts'
import { encapsulatedBytes, type GcmKey } from './crypto-driver.ts'
import { concat, fromBase64Url, isEqual, toBase64Url, transferIdBytes, utf8 } from './encoding.ts'
import { type AccountKeys, encryptionKeyBytes } from './keys.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
/** Metadata is padded to a multiple of this, because the length of a name would reveal something about it. */
const METADATA_PAD_BYTES = 512
const PAD = 0x20

/** The data that a wrapped content key is bound to. It opens no other transfer, and none of another sender. */
export interface WrapContext {
  readonly transferId: string
  readonly from: string
  readonly to: string
}

export class ContentKey {
  readonly #transferId: string
  readonly #raw: Uint8Array
  readonly #metadataKey: Uint8Array
  readonly #commitment: Uint8Array
  readonly #partKey: Uint8Array
  readonly #contentSalt: Uint8Array

  private constructor(transferId: string, raw: Uint8Array, derived: Record<Purpose, Uint8Array>) {
    this.#transferId = transferId
    this.#raw = raw
    this.#metadataKey = derived.metadata
    this.#commitment = derived.commitment
    this.#partKey = derived.part
    this.#contentSalt = derived.content
  }

  /** The key that seals the parts. */
  get partKey(): Uint8Array {
    return this.#partKey
  }

  /** The salt of the content digest. Without it, people who cannot open the file could recognise known content by its digest. */
  get contentSalt(): Uint8Array {
    return this.#contentSalt
  }

  static generate(transferId: string): Promise<ContentKey> {
    return ContentKey.#derive(transferId, crypto.getRandomValues(new Uint8Array(KEY_BYTES)))
  }

  /** @throws Problem `seal-unopenable` when the key was not wrapped for these keys, this transfer and these accounts */
  static async unwrap(wrapped: string, context: WrapContext, keys: AccountKeys): Promise<ContentKey> {
    const bytes = fromBase64Url(wrapped)
    try {
      if (bytes === null || bytes.length <= encapsulatedBytes) throw new Error('too short')
      const pair = { publicKey: encryptionKeyBytes(keys.publicKeys), decryptionKey: keys.decryptionKey }
      const raw = await cryptoDriver.hpkeOpen(pair, { info: infoOf(context) }, bytes)
      if (raw.length !== KEY_BYTES) throw new Error('not a content key')
      return await ContentKey.#derive(context.transferId, raw)
    } catch (cause) {
      throw new Problem('seal-unopenable', {}, { cause })
    }
  }

  /** @throws Problem `keys-missing` when the public key is invalid */
  async wrap(context: WrapContext, to: PublicKeys): Promise<string> {
    if (context.transferId !== this.#transferId) throw new Error('a content key belongs to one transfer')
    const publicKey = encryptionKeyBytes(to)
    try {
      return toBase64Url(await cryptoDriver.hpkeSeal(publicKey, { info: infoOf(context) }, this.#raw))
    } catch (cause) {
      throw new Problem('keys-missing', { account: context.to, detail: 'its public key is not valid' }, { cause })
    }
  }

  /** @returns the commitment to this key, then the encrypted metadata; base64url */
  async sealMetadata(metadata: PlainMetadata): Promise<string> {
    const text = utf8(JSON.stringify(metadata))
    const padded = new Uint8Array(Math.ceil(text.length / METADATA_PAD_BYTES) * METADATA_PAD_BYTES).fill(PAD)
    padded.set(text)
    return toBase64Url(concat(this.#commitment, await cryptoDriver.encrypt(this.#metadataCipher(), padded)))
  }

  /**
   * The commitment makes sure that all receivers have the same key. With AES-GCM alone, a sender could make content that opens
   * differently for two receivers.
   *
   * @throws Problem `seal-broken`
   */
  async openMetadata(sealed: string): Promise<PlainMetadata> {
    const bytes = fromBase64Url(sealed)
    try {
      if (bytes === null || !isEqual(bytes.subarray(0, KEY_BYTES), this.#commitment)) throw new Error('another key')
      const text = await cryptoDriver.decrypt(this.#metadataCipher(), bytes.subarray(KEY_BYTES))
      const metadata: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text))
      if (!conforms(PlainMetadata, metadata)) throw new Error('not metadata')
      return metadata
    } catch (cause) {
      throw new Problem('seal-broken', { detail: 'the metadata cannot be opened' }, { cause })
    }
  }

  /** The key seals only this one message, so its nonce may be fixed. */
  #metadataCipher(): GcmKey {
    return { key: this.#metadataKey, nonce: new Uint8Array(NONCE_BYTES), aad: transferIdBytes(this.#transferId) }
  }

  static async #derive(transferId: string, raw: Uint8Array): Promise<ContentKey> {
    const infos = (['part', 'metadata', 'commitment', 'content'] as const).map((purpose) => `golooader v1 ${purpose}`)
    const [part, metadata, commitment, content] = await cryptoDriver.hkdf(raw, transferIdBytes(transferId), infos)
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
