/**
 * A profile in a file, encrypted with a passphrase:
 *
 *     "golooader profile export 1\n" ‖ salt (16 bytes) ‖ AES-256-GCM
 *
 * The key is scrypt of the passphrase (NFKC, UTF-8) and the salt: see `CryptoDriver.scrypt`. It seals one file only, so its nonce is
 * twelve zero bytes. What stands before the ciphertext is authenticated with it.
 */
import { Problem } from '../protocol/index.ts'
import { cryptoDriver } from './crypto.ts'
import type { GcmKey } from './crypto-driver.ts'
import { concat, utf8 } from './encoding.ts'

const MAGIC = 'golooader profile export '
const HEADER = `${MAGIC}1\n`
const SALT_BYTES = 16
const NONCE_BYTES = 12

/** @param salt only for test vectors */
export async function sealProfileExport(
  text: string,
  passphrase: string,
  salt: Uint8Array = crypto.getRandomValues(new Uint8Array(SALT_BYTES)),
): Promise<Uint8Array> {
  const head = concat(utf8(HEADER), salt)
  return concat(head, await cryptoDriver.encrypt(await cipherOf(head, passphrase), utf8(text)))
}

/** @throws Problem `profile-unusable` for another file, a damaged one, or another passphrase */
export async function openProfileExport(file: Uint8Array, passphrase: string): Promise<string> {
  const headBytes = HEADER.length + SALT_BYTES
  const header = new TextDecoder('latin1').decode(file.subarray(0, HEADER.length))
  if (header !== HEADER || file.length < headBytes) throw unusable(notAnExport(header))
  const head = file.subarray(0, headBytes)
  try {
    const plain = await cryptoDriver.decrypt(await cipherOf(head, passphrase), file.subarray(headBytes))
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(plain)
  } catch (cause) {
    throw unusable('the passphrase is not the right one, or the file is damaged', cause)
  }
}

function notAnExport(header: string): string {
  return header.startsWith(MAGIC)
    ? 'the file was written by a newer version of this program, or is cut off'
    : 'the file is no exported profile'
}

async function cipherOf(head: Uint8Array, passphrase: string): Promise<GcmKey> {
  const salt = head.subarray(HEADER.length)
  const key = await cryptoDriver.scrypt(utf8(passphrase.normalize('NFKC')), salt)
  return { key, nonce: new Uint8Array(NONCE_BYTES), aad: head }
}

function unusable(detail: string, cause?: unknown): Problem {
  return new Problem('profile-unusable', { detail }, { cause })
}
