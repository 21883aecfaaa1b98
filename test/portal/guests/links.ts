/** What tests of guests share: owners with keys, guests with a link's secret, sealed transfers. */
import { guestNameOf, type NewFileRequest, newToken, newTransferId } from '../../../src/protocol/index.ts'
import {
  AccountKeys,
  fingerprintOf,
  type Guest,
  guestOf,
  newGuestOf,
  newLinkSecret,
  requestSecretsOf,
} from '../../../src/trust/index.ts'
import { type Answer, announcement, contentDigest, manifestDigest, partSizeBytes, type TestPortal } from '../portal.ts'

export const HOUR_MS = 60 * 60_000

export function inTime(ms: number): string {
  return new Date(Date.now() + ms).toISOString()
}

/** Gives an account keys. */
export async function withKeys(portal: TestPortal, name: string): Promise<AccountKeys> {
  const keys = await AccountKeys.generate()
  const { status } = await portal.ask('PUT', '/v1/account/keys', { token: portal.token(name), body: keys.publicKeys })
  if (status !== 200) throw new Error(`keys, and answered ${status}`)
  return keys
}

/** Guests of a new link. */
export function newGuests(count = 1, secret = newLinkSecret()): Promise<Guest[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => guestOf(secret, index + 1, null)))
}

export function makeGuests(
  portal: TestPortal,
  guests: readonly Guest[],
  { token = portal.token('alice'), expiresAt = inTime(HOUR_MS) } = {},
): Promise<Answer> {
  return portal.ask('POST', '/v1/guests', { token, body: { guests: guests.map(newGuestOf), expiresAt } })
}

/** One guest of alice. */
export async function aGuest(portal: TestPortal, expiresAt = inTime(HOUR_MS)): Promise<Guest> {
  const [guest] = await newGuests()
  if (guest === undefined) throw new Error('there is a guest')
  const { status } = await makeGuests(portal, [guest], { expiresAt })
  if (status !== 200) throw new Error(`guests, and answered ${status}`)
  return guest
}

/** Announces a transfer whose seal nobody opens. */
export async function announceSealed(
  portal: TestPortal,
  token: string,
  from: string,
  to: readonly string[],
  { sizeBytes = 5, transferId = newTransferId() } = {},
): Promise<{ transferId: string; answer: Answer }> {
  const keys = Object.fromEntries([from, ...to].map((name) => [name, 'A'.repeat(107)]))
  const body = { ...announcement(sizeBytes), partSizeBytes, to, metadata: { sealed: 'A'.repeat(200), keys } }
  return { transferId, answer: await portal.ask('PUT', `/v1/transfers/${transferId}`, { token, body }) }
}

/** Sends the content of an announced transfer. @returns the first notification */
export async function complete(portal: TestPortal, token: string, transferId: string, content: Buffer) {
  const headers = { 'content-digest': contentDigest(content) }
  const put = await portal.ask('PUT', `/v1/transfers/${transferId}/parts/1`, { token, headers, body: content })
  if (put.status !== 204) return put
  const body = { attempt: 1, manifestDigest: manifestDigest(content) }
  return portal.ask('POST', `/v1/transfers/${transferId}/complete`, { token, body })
}

export interface Visitor {
  readonly account: string
  readonly token: string
  readonly keys: AccountKeys
}

export async function newVisitor(): Promise<Visitor> {
  const keys = await AccountKeys.generate()
  return { account: guestNameOf(await fingerprintOf(keys.publicKeys)), token: newToken(), keys }
}

/** A request of alice. */
export async function aRequest(portal: TestPortal, changes: Partial<NewFileRequest> = {}) {
  const secret = newLinkSecret()
  const { bearer, bearerHash } = await requestSecretsOf(secret)
  const requestId = newTransferId()
  const limits = { filesMax: 3, bytesMax: 1000, expiresAt: inTime(HOUR_MS) }
  const body = { requestId, secretHash: bearerHash, label: null, ...limits, ...changes }
  const answer = await portal.ask('POST', '/v1/requests', { token: portal.token('alice'), body })
  return { secret, bearer, requestId, answer }
}

export async function joinRequest(portal: TestPortal, bearer: string, visitor: Visitor): Promise<Answer> {
  const { account, token, keys } = visitor
  return portal.ask('POST', '/v1/requests/join', { body: { secret: bearer, account, token, keys: keys.publicKeys } })
}

export function jsonOf({ body }: Answer) {
  return JSON.parse(body.toString())
}
