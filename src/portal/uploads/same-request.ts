/**
 * Decides whether a request with a known idempotency key is the same request: it has the same account, receivers, name, media type and
 * content. Only then it is answered with the old notification. For the content, the portal reads the body and compares it with the
 * stored manifestDigest, because the content itself may be deleted by then.
 */
import { manifestDigestOf } from '../../digests/index.ts'
import { eventsPerPageMax, isDigestAlgorithm, Problem } from '../../protocol/index.ts'
import type { PortalContext } from '../context.ts'
import type { Ledger, Transfer } from '../ledger/contract.ts'
import type { Description } from './active-uploads.ts'
import { type Body, discardingSink, isAtEnd, splitBody } from './body-splitter.ts'

/** The description of a transfer's file; null for a transfer that was not made by such a request. */
export function descriptionOf({ deliveries, metadata, sizeBytes, isOneRequest }: Transfer): Description | null {
  if (!isOneRequest || !('name' in metadata)) return null
  return { to: deliveries.map(({ receiver }) => receiver), metadata, sizeBytes }
}

/**
 * Reads a body to its end and compares it with the content of a stored transfer.
 *
 * @returns whether they are the same
 * @throws Problem `part-incomplete` when the body breaks or stalls
 */
export async function isStoredContent(context: PortalContext, stored: Transfer, body: Body): Promise<boolean> {
  const { sizeBytes, partSizeBytes, digestAlgorithm } = stored
  if (!isDigestAlgorithm(digestAlgorithm)) return false
  const splitting = { digestAlgorithm, partSizeBytes, openSink: async () => discardingSink }
  const parts = await splitBody(context.options, body, splitting, sizeBytes)
  const isOfThatSize = parts.sizeBytes === sizeBytes && (await isAtEnd(context.options, body, digestAlgorithm))
  return isOfThatSize && hasManifestDigest(stored, manifestDigestOf(digestAlgorithm, parts.digests))
}

/**
 * Checks the transfer that the ledger has under this id: it must be stored with this content.
 *
 * @throws Problem `transfer-conflict`
 */
export function requireStoredAs(transfer: Transfer, manifestDigest: string): Transfer {
  if (hasManifestDigest(transfer, manifestDigest)) return transfer
  throw isStored(transfer) ? otherContent() : new Problem('transfer-conflict', { state: transfer.state })
}

export function isStored({ state }: Transfer): boolean {
  return state === 'stored' || state === 'ended'
}

export function otherContent(): Problem {
  return new Problem('transfer-conflict', { detail: 'the transfer of this key has other content; use another key' })
}

function hasManifestDigest(transfer: Transfer, manifestDigest: string): boolean {
  return (transfer.state === 'stored' || transfer.state === 'ended') && transfer.manifestDigest === manifestDigest
}

/** Replaced attempts of one transfer that do not count. The bound keeps the notifications of a transfer few. */
const REPLACED_MAX = 100
const REPLACED = 'a newer request sends the file'

/** The end of an attempt whose request a newer one of the same key has replaced. */
export function replacedProblem(): Problem {
  return new Problem('part-incomplete', { detail: REPLACED })
}

/** How many attempts a transfer has used, the present one included. An attempt that a newer request has replaced does not count. */
export async function attemptsUsed(
  ledger: Ledger,
  { transferId, senderId, attempt, isOneRequest }: Transfer,
): Promise<number> {
  if (!isOneRequest || attempt === 1) return attempt
  const notifications = await ledger.events(senderId, { after: '0', limit: eventsPerPageMax, transferId })
  const replaced = notifications.filter((one) => 'problem' in one && Reflect.get(one.problem, 'detail') === REPLACED)
  return attempt - Math.min(replaced.length, REPLACED_MAX)
}
