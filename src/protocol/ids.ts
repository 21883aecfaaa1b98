/** Identifiers and secrets that are made by the one who needs them. */
import { v7 } from 'uuid'

/** A new transfer id (UUIDv7): made by the sender, so that a repeated announcement is recognised. */
export function newTransferId(): string {
  return v7()
}

/** When a transfer id was made, by the clock of its sender: the first 48 bits of a UUIDv7 (RFC 9562 section 5.7). */
export function transferTimeMs(transferId: string): number {
  return Number.parseInt(transferId.slice(0, 8) + transferId.slice(9, 13), 16)
}

/** `byteCount` random bytes as base64url. */
export function randomText(byteCount: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(byteCount))
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

const TOKEN_ID_BYTES = 12
const SECRET_BYTES = 32

/** A new account token: `glt_`, a public id to find it by, and 256 random bits. */
export function newToken(): string {
  return `glt_${randomText(TOKEN_ID_BYTES)}_${randomText(SECRET_BYTES)}`
}

/** A new one-time invite: `gli_` and 256 random bits. */
export function newInvite(): string {
  return `gli_${randomText(SECRET_BYTES)}`
}

/** A new lease id. */
export function newLeaseId(): string {
  return randomText(18)
}
