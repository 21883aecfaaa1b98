/** A request that sends a file and offers to continue it by later requests, if this one does not bring all of it. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Static } from 'typebox'
import { Problem } from '../../protocol/index.ts'
import type { Transfer } from '../ledger/contract.ts'
import { BodyDigests } from '../uploads/body-digests.ts'
import { isStored } from '../uploads/same-request.ts'
import { accountOf, audit, goneSignal, type Services } from './app.ts'
import { askForContent } from './continue.ts'
import {
  addressOf,
  contentBytesOf,
  type FileParams,
  idempotencyKeyOf,
  mediaTypeOf,
  requireNoLateDigest,
  textOf,
} from './file-head.ts'
import { sendResumption } from './interim.ts'
import { toProblem } from './problems.ts'
import { describeLimit, describeRefusal, interimVersionOf, tellOffset, uploadLocation } from './resumable-answers.ts'
import { stateFields, uploadFieldsOf, uploadLimit } from './upload-fields.ts'

/** The creation of an upload resource. */
export interface Creation {
  /** Whether the end of the content is the end of the file. */
  readonly completes: boolean
  readonly lengthBytes: number | null
  /** The version of the draft in which the client is told the address of the upload at once; null when only the final answer tells it. */
  readonly interimVersion: number | null
}

/**
 * What a request says about the upload that it creates; null for a plain request, which is answered as if there were no resumable uploads.
 * That is also a request that brings the whole file, where the client could not be told the address of an upload before it has ended.
 */
export async function creationOf({ context }: Services, request: FastifyRequest): Promise<Creation | null> {
  const { headers } = request
  const fields = uploadFieldsOf(headers)
  const { complete: completes, lengthBytes } = fields
  if (completes === null) return null
  const interimVersion = interimVersionOf(request, fields)
  if (!completes) return { completes, lengthBytes, interimVersion }
  const isEmpty = headers['content-length'] === '0'
  if (interimVersion === null || isEmpty) return null
  // The same request again, for a transfer that is stored: only the body is compared.
  const key = idempotencyKeyOf(textOf(headers['idempotency-key']))
  const known = key === null ? null : await context.ledger.transfer(key)
  return known !== null && isStored(known) ? null : { completes, lengthBytes, interimVersion }
}

/**
 * Creates an upload resource, and reads what the request brings.
 *
 * @returns the stored transfer when that was all; null when the client will continue: then it has been answered
 * @throws Problem for a refusal. If the client knows the address of the upload, the headers of the reply say whether it can be continued
 */
export async function createUpload(
  services: Services,
  request: FastifyRequest,
  reply: FastifyReply,
  { completes, lengthBytes: said, interimVersion }: Creation,
): Promise<Transfer | null> {
  const { headers, raw } = request
  const { context, uploads, stop } = services
  const { options } = context
  const account = accountOf(request)
  const { to, metadata } = addressOf(request.params as Static<typeof FileParams>, mediaTypeOf(headers['content-type']))
  const contentBytes = contentBytesOf(headers, completes ? null : 0)
  const lengthBytes = said ?? (completes ? contentBytes : null)
  if (completes && contentBytes !== null && lengthBytes !== contentBytes) {
    throw new Problem('inconsistent-upload-length', { lengths: [lengthBytes, contentBytes] })
  }
  const [reprDigest, contentDigest] = [textOf(headers['repr-digest']), textOf(headers['content-digest'])]
  // The digest of content that is the whole file is that of the file. It can be verified also when the content comes in several requests.
  const isOfFile = completes && reprDigest === undefined
  const contentDigests = BodyDigests.of(isOfFile ? [] : [contentDigest])
  const created = uploads.create(account, {
    protocol: 'ietf',
    to,
    metadata,
    key: idempotencyKeyOf(textOf(headers['idempotency-key'])),
    lengthBytes,
    reprDigest: (isOfFile ? contentDigest : reprDigest) ?? null,
    metadataText: null,
  })
  created.catch((error: unknown) => describeLimit(reply, options, error))
  const { secret, session } = await created
  await using _ = session
  audit(services, request, 'upload-made', account.name, { transferId: session.transfer.transferId, protocol: 'ietf' })
  const location = uploadLocation(options, secret)
  try {
    if (interimVersion !== null) {
      const limit = uploadLimit(options.transferSizeBytesMax, session.state.maxAgeSeconds)
      sendResumption(reply, interimVersion, { location, 'upload-limit': limit })
    }
    const { stored } = await session.append({
      offsetBytes: 0,
      completes,
      contentBytes,
      lengthBytes: null,
      reprDigest: null,
      contentDigests,
      source: raw,
      signal: goneSignal(reply, stop),
      onAdmitted: () => askForContent(request, reply),
      onEnd: () => requireNoLateDigest(raw.trailers),
      onDurable: tellOffset(reply, interimVersion),
    })
    if (stored !== null) return stored
  } catch (error) {
    describeLimit(reply, options, error)
    // Nobody could continue it.
    if (interimVersion === null) await session.abandon(toProblem(error))
    else await describeRefusal(reply, session, error)
    throw error
  }
  await reply
    .code(201)
    .headers({ ...stateFields(session.state, options.transferSizeBytesMax), location })
    .send()
  return null
}
