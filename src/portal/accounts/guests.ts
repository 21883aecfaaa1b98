/**
 * Guests, and requests for files. The client makes tokens and keys of guests, and the portal gets hashes and public keys. It cannot check
 * that the name of a guest is the fingerprint of its keys: the clients that send to it, or receive from it, do.
 */
import {
  type FileRequest,
  type FileRequestJoin,
  type FileRequestView,
  type GuestStatus,
  isGuestName,
  type MadeGuests,
  type NewFileRequest,
  type NewGuests,
  Problem,
  type RequestOfTransfer,
} from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { Account, Transfer } from '../ledger/contract.ts'
import type { FileRequestRecord, GuestBounds, Owner } from '../ledger/guests-contract.ts'
import { refusal } from '../monitoring/audit.ts'
import { guestLimits } from '../options.ts'
import { timestamp } from '../views.ts'
import { hashOf, tokenIdIn } from './accounts.ts'

/** Clocks of portal and client may differ by this much when a client asks for the longest time. */
const EXPIRY_MARGIN_MS = 5 * 60 * 1000

/** @throws Problem `guests-off`, `request-invalid`, and those of `createGuests` */
export async function makeGuests(
  context: PortalContext,
  { accountId }: Account,
  { guests, expiresAt }: NewGuests,
): Promise<MadeGuests> {
  const bounds = boundsOf(context)
  const made = await context.ledger.createGuests(
    accountId,
    { guests, expiresAtMs: expiryOf(context, expiresAt) },
    bounds,
  )
  return { guests: guests.map(({ account }) => account), expiresAt: timestamp(made.expiresAtMs) }
}

/** @throws Problem `guests-off`, `request-invalid`, and those of `createFileRequest` */
export async function makeFileRequest(
  context: PortalContext,
  { accountId }: Account,
  { expiresAt, ...request }: NewFileRequest,
): Promise<FileRequest> {
  const bounds = boundsOf(context)
  const expiresAtMs = expiryOf(context, expiresAt)
  return fileRequestOf(await context.ledger.createFileRequest(accountId, { ...request, expiresAtMs }, bounds))
}

/** What a visitor with the secret of a request learns. Nothing changes. @throws Problem `link-invalid` */
export async function lookAtRequest({ ledger, options }: PortalContext, secret: string): Promise<FileRequestView> {
  const found = options.allowsGuests ? await ledger.fileRequestByHash(hashOf(secret)) : null
  if (found === null) throw linkInvalid()
  const { requestId, label, endsAtMs, filesMax, bytesMax, files, bytes } = found.request
  return {
    requestId,
    owner: ownerOf(found.owner),
    label,
    expiresAt: timestamp(endsAtMs),
    filesMax,
    bytesMax,
    filesLeft: Math.max(0, filesMax - files),
    bytesLeft: Math.max(0, bytesMax - bytes),
  }
}

/**
 * Makes a visitor a sending guest. Its token is valid for one expiry of a transfer longer than the request, so that it learns the second
 * notification of its last file.
 *
 * @throws Problem `link-invalid`, `guest-conflict`, `request-full`
 */
export async function joinRequest({ ledger, options }: PortalContext, request: FileRequestJoin): Promise<Account> {
  const { secret, account, token, keys } = request
  const guest = { account, tokenId: tokenIdIn(token), tokenHash: hashOf(token), keys }
  const lingerMs = options.expiryMs
  const joined = options.allowsGuests ? await ledger.joinFileRequest(hashOf(secret), guest, { lingerMs }) : null
  if (joined === null) throw linkInvalid()
  return joined
}

/** What an account learns about itself as a guest; nothing for an account of a person. */
export async function guestStatus({ ledger }: PortalContext, accountId: number): Promise<{ guest?: GuestStatus }> {
  const guest = await ledger.guest(accountId)
  if (guest === null) return {}
  const { kind, owner, request, expiresAtMs } = guest
  return { guest: { kind, owner: ownerOf(owner), expiresAt: timestamp(request?.endsAtMs ?? expiresAtMs) } }
}

/** The requests by which transfers are sent, by the ids of their senders. Only guests have any. */
export function requestsOf(
  { ledger }: PortalContext,
  transfers: readonly Transfer[],
): Promise<ReadonlyMap<number, RequestOfTransfer>> {
  const guests = transfers.filter(({ sender }) => isGuestName(sender)).map(({ senderId }) => senderId)
  return ledger.requestsOfGuests([...new Set(guests)])
}

/** A request as its owner sees it. */
export function fileRequestOf({ ownerId: _, createdAtMs, endsAtMs, ...request }: FileRequestRecord): FileRequest {
  return { ...request, createdAt: timestamp(createdAtMs), expiresAt: timestamp(endsAtMs) }
}

function ownerOf({ name, keys }: Owner): FileRequestView['owner'] {
  return { account: name, keys }
}

/** @throws Problem `guests-off` */
function boundsOf({ options }: PortalContext): GuestBounds {
  const limits = guestLimits(options)
  if (limits === null) throw new Problem('guests-off')
  return limits
}

/** @throws Problem `request-invalid` for a time that has passed, or that is later than this portal allows */
function expiryOf({ ledger, options }: PortalContext, expiresAt: string): number {
  const expiryMsMax = guestLimits(options)?.expiryMsMax ?? 0
  const expiresAtMs = Date.parse(expiresAt)
  const leftMs = expiresAtMs - ledger.nowMs()
  if (!(leftMs > 0)) throw new Problem('request-invalid', { detail: '`expiresAt` has passed', expiryMsMax })
  if (leftMs <= expiryMsMax + EXPIRY_MARGIN_MS) return expiresAtMs
  const detail = `\`expiresAt\` is later than this portal allows: at most ${expiryMsMax} ms from now`
  throw new Problem('request-invalid', { detail, expiryMsMax })
}

function linkInvalid(): Problem {
  return refusal('link-invalid', 'link-failed')
}
