/**
 * Guests, and what a link's secret derives. The portal gets hashes and public keys only, so it can neither open what is sent to a guest
 * nor sign its receipt. PROTOCOL.md, Guests.
 *
 * A person who has the link has everything that the guest has. A receipt of a guest says that a person with the link has the file.
 */
import { digestOf } from '../digests/index.ts'
import {
  guestNameOf,
  guestsPerRequestMax,
  labelLengthMax,
  type NewGuest,
  Problem,
  type PublicKeys,
} from '../protocol/index.ts'
import { cryptoDriver } from './crypto.ts'
import type { GcmKey } from './crypto-driver.ts'
import { concat, fromBase64Url, toBase64Url, utf8 } from './encoding.ts'
import { AccountKeys, type Contact, fingerprintOf, type PortableKeys } from './keys.ts'

const SECRET_BYTES = 32
const TOKEN_ID_BYTES = 12
const NONCE_BYTES = 12
/** Labels are padded to a multiple of this, because their length would reveal something about them. */
const LABEL_PAD_BYTES = 256
const PAD = 0x20
const LABEL = 'golooader v1 request label'
const NO_SALT = new Uint8Array()

/** A receiving guest, with everything that it needs to receive. */
export interface Guest {
  readonly account: string
  /** `glt_…` */
  readonly token: string
  readonly keys: PortableKeys
}

/** A new secret for a link: base64url of 32 random bytes. */
export function newLinkSecret(): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))
}

/**
 * What a passphrase adds to a link's secret. It takes about half a second and 128 MiB, so that guessing is dear for a person who has the
 * link; the portal has neither, and cannot guess.
 *
 * @param passphrase as it was typed
 */
export async function passphraseKeyOf(secret: string, passphrase: string): Promise<Uint8Array> {
  const [salt] = await cryptoDriver.hkdf(secretBytes(secret), NO_SALT, ['golooader v1 guest passphrase salt'])
  // In NFKC, because keyboards write the same letters in different ways.
  return cryptoDriver.scrypt(utf8(passphrase.normalize('NFKC')), required(salt))
}

/**
 * Derives a receiving guest from the secret of a send link.
 *
 * @param index from 1: a link for several people has as many guests
 * @param passphraseKey of `passphraseKeyOf`; null where the link has no passphrase
 */
export async function guestOf(secret: string, index: number, passphraseKey: Uint8Array | null): Promise<Guest> {
  if (!Number.isInteger(index) || index < 1 || index > guestsPerRequestMax) throw new Error('no guest has this number')
  const material = passphraseKey === null ? secretBytes(secret) : concat(secretBytes(secret), passphraseKey)
  const infos = ['token id', 'token secret', 'signing', 'encryption'].map((of) => `golooader v1 guest ${index} ${of}`)
  const derived = await cryptoDriver.hkdf(material, NO_SALT, infos)
  const [tokenId, tokenSecret, signing, encryption] = infos.map((_, at) => required(derived[at]))
  const keys = await AccountKeys.fromRaw(required(signing), required(encryption))
  const id = toBase64Url(required(tokenId).subarray(0, TOKEN_ID_BYTES))
  return {
    account: guestNameOf(await fingerprintOf(keys.publicKeys)),
    token: `glt_${id}_${toBase64Url(required(tokenSecret))}`,
    keys,
  }
}

/** What the owner of a guest tells the portal about it. */
export function newGuestOf({ account, token, keys }: Guest): NewGuest {
  const [, tokenId = ''] = /^glt_([A-Za-z0-9_-]{16})_/.exec(token) ?? []
  return { account, tokenId, tokenHash: hashOf(token), keys: keys.publicKeys }
}

/** What the secret of a request link derives. */
export interface RequestSecrets {
  /** `glq_…`: visitors show it to the portal. */
  readonly bearer: string
  /** Hex SHA-256 of `bearer`, for the portal. */
  readonly bearerHash: string
}

export async function requestSecretsOf(secret: string): Promise<RequestSecrets> {
  const [derived] = await cryptoDriver.hkdf(secretBytes(secret), NO_SALT, ['golooader v1 request secret'])
  const bearer = `glq_${toBase64Url(required(derived))}`
  return { bearer, bearerHash: hashOf(bearer) }
}

/**
 * Seals the label of a request, so that only people with the link can read it. A secret seals one label only.
 *
 * @throws Problem `request-invalid` for a label that is too long
 */
export async function sealLabel(secret: string, label: string): Promise<string> {
  const trimmed = label.trim()
  if (trimmed.length > labelLengthMax) {
    throw new Problem('request-invalid', { detail: `a label has ${labelLengthMax} characters at most` })
  }
  const text = utf8(trimmed)
  const padded = new Uint8Array(Math.max(1, Math.ceil(text.length / LABEL_PAD_BYTES)) * LABEL_PAD_BYTES).fill(PAD)
  padded.set(text)
  return toBase64Url(await cryptoDriver.encrypt(await labelCipherOf(secret), padded))
}

/** @throws Problem `seal-broken` when the label was not sealed with this secret */
export async function openLabel(secret: string, sealed: string): Promise<string> {
  const bytes = fromBase64Url(sealed)
  try {
    if (bytes === null) throw new Error('not base64url')
    const text = await cryptoDriver.decrypt(await labelCipherOf(secret), bytes)
    const label = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(text).trim()
    if (label.length > labelLengthMax) throw new Error('too long')
    return label
  } catch (cause) {
    throw new Problem('seal-broken', { detail: 'the label of the request cannot be opened' }, { cause })
  }
}

/** The key seals only one label, so its nonce may be fixed. */
async function labelCipherOf(secret: string): Promise<GcmKey> {
  const [key] = await cryptoDriver.hkdf(secretBytes(secret), NO_SALT, [LABEL])
  return { key: required(key), nonce: new Uint8Array(NONCE_BYTES), aad: utf8(LABEL) }
}

/**
 * Checks the keys that a portal names for a guest. The name of a guest is their fingerprint, so nothing has to be remembered.
 *
 * @throws Problem `keys-changed` with the members `account`, `trusted` and `offered` when they are not the guest's
 */
export async function checkGuest(account: string, keys: PublicKeys): Promise<Contact> {
  const fingerprint = await fingerprintOf(keys)
  if (guestNameOf(fingerprint) === account) return { account, keys, fingerprint }
  const trusted = account.slice('guest-'.length)
  const detail = `the name of ${account} says which keys it has, and the portal names others: ${fingerprint}`
  throw new Problem('keys-changed', { account, trusted, offered: fingerprint, detail })
}

function hashOf(text: string): string {
  return digestOf('sha-256', utf8(text))
}

/** @throws Problem `link-invalid` when it is not a secret of a link */
function secretBytes(secret: string): Uint8Array {
  const bytes = fromBase64Url(secret)
  if (bytes?.length !== SECRET_BYTES) throw new Problem('link-invalid', { detail: 'the link is not complete' })
  return bytes
}

function required(bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) throw new Error('a key was not derived')
  return bytes
}
