/** Identifiers and secrets. The side that needs one makes it. */
import { v7 } from 'uuid'

/**
 * A new transfer id (UUIDv7). The sender makes it, so that the portal recognises a repeated announcement.
 *
 * @param atMs the time in the id; by default that of this machine's clock
 */
export function newTransferId(atMs?: number): string {
  return atMs === undefined ? v7() : v7({ msecs: Math.floor(atMs) })
}

/** When a transfer id was made, by the clock of its sender: the first 48 bits of a UUIDv7 (RFC 9562 section 5.7). */
export function transferTimeMs(transferId: string): number {
  return Number.parseInt(transferId.slice(0, 8) + transferId.slice(9, 13), 16)
}

/** A text that every transferId of this time or later is not lower than, and every earlier one is. */
export function transferIdsFrom(timeMs: number): string {
  const hex = timeMs.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
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
