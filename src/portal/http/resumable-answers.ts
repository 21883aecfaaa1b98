/** What requests of the IETF's resumable uploads have in common: the address of an upload, limits, interim answers, and refusals. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Problem } from '../../protocol/index.ts'
import type { PortalOptions } from '../options.ts'
import type { UploadSession } from '../uploads/resumable/index.ts'
import { isStored } from '../uploads/same-request.ts'
import { carriesInterimAnswers, sendResumption } from './interim.ts'
import { formatBoolean, type UploadFields, uploadLimit } from './upload-fields.ts'

/** The media type of what the first request and each later one of an upload bring may differ; this path has the resources of uploads. */
export const uploadsPath = '/v1/uploads/'

/**
 * The address of an upload, for `Location`. It has no host, so that a client sends its token only to the host that it sent it to before;
 * where the operator has named a path for the portal, that is before it.
 */
export function uploadLocation({ publicUrl }: PortalOptions, secret: string): string {
  const base = publicUrl === null ? '' : new URL(publicUrl).pathname.replace(/\/+$/, '')
  return `${base}${uploadsPath}${secret}`
}

/** The version of the draft in which interim answers can be sent to a client; null when none can. */
export function interimVersionOf(request: FastifyRequest, { interopVersion }: UploadFields): number | null {
  return interopVersion !== null && carriesInterimAnswers(request) ? interopVersion : null
}

/** Tells a client how much of its upload is durable. */
export function tellOffset(reply: FastifyReply, interimVersion: number | null): (offsetBytes: number) => void {
  return (offsetBytes) => {
    if (interimVersion !== null) sendResumption(reply, interimVersion, { 'upload-offset': String(offsetBytes) })
  }
}

/** Adds to a refusal what it says about the upload: `Upload-Complete: ?1` where it cannot be continued. */
export async function describeRefusal(reply: FastifyReply, session: UploadSession, error: unknown): Promise<void> {
  const isOffsetWrong = error instanceof Problem && error.code === 'mismatching-upload-offset'
  const isOver = !isOffsetWrong && !isStored(session.transfer) && (await session.isOver())
  reply.header('upload-complete', formatBoolean(isOver))
  if (!isOver) reply.header('upload-offset', String(session.state.offsetBytes))
}

/** Adds the limits to a refusal that is about them. */
export function describeLimit(reply: FastifyReply, { transferSizeBytesMax }: PortalOptions, error: unknown): void {
  if (error instanceof Problem && error.status === 413) {
    reply.header('upload-limit', uploadLimit(transferSizeBytesMax, null))
  }
}
