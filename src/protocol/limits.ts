/**
 * The limits of the protocol: no message is larger, and a peer may rely on that. A portal announces its own limits, which its
 * operator sets, at `GET /v1/limits`.
 */
import { sealTagBytes } from './parts.ts'

const KIB = 1024
const MIB = 1024 * KIB

/** A part is at least this long, except the last one. This bounds the number of requests per byte. */
export const partSizeBytesMin = 64 * KIB
/** Many proxies refuse a request of more than 100 MB. */
export const partSizeBytesMax = 64 * MIB
export const partSizeBytesDefault = 8 * MIB
/** A bound that keeps lists of parts short. Larger files use larger parts. */
export const partsPerTransferMax = 10_000
/** A file up to this size can be sent in one request. */
export const wholeSizeBytesMax = 256 * KIB
/** Small files in a batch, and answers of a receiver in one. */
export const batchItemsMax = 64
/** Largest body of a batch. A portal holds it in memory. */
export const batchBytesMax = MIB
/** A file up to this size can come with its offer. */
export const inlineSizeBytesMax = 32 * KIB
/** Content that may come with offers made at the same time. Together with the longest offer it fits into the buffer of a stream. */
export const inlineBytesAtOnceMax = MIB
/**
 * The largest file that fits into the parts of a transfer, sealed or not. No portal announces more. It counts the bytes of the file;
 * sealing adds some.
 */
export const transferSizeBytesMax = partsPerTransferMax * (partSizeBytesMax - sealTagBytes)
export const receiversPerTransferMax = 32
/** Longest file name that may be announced, in UTF-16 units. The name that a receiver writes is shorter. */
export const nameLengthMax = 1024
/** Longest media type that may be announced. */
export const mediaTypeLengthMax = 128
/** Longest name of a digest algorithm. */
export const digestAlgorithmLengthMax = 32
/** The base64url length of the longest metadata, with every character of the name escaped, after sealing. */
export const sealedMetadataLengthMax = 12 * KIB
/** Longest manifest or receipt. */
export const signedTokenLengthMax = 16 * KIB
/** Guests that one request makes. A transfer has as many receivers at most. */
export const guestsPerRequestMax = receiversPerTransferMax
/** Most files, and bytes of them, that a request may ask for. */
export const requestFilesMax = 10_000
export const requestBytesMax = 2 ** 50
/** How many transfers guests may begin for a request, for each file that it asks for: strangers can begin them and never complete them. */
export const requestTriesPerFileMax = 20
/** Longest label of a request for files, in UTF-16 units. */
export const labelLengthMax = 160
/** The base64url length of the longest label after sealing, with room for later versions. */
export const sealedLabelLengthMax = KIB
/** Lease ids are base64url. The portal makes them, and the receiver returns them. */
export const leaseIdLengthMin = 16
export const leaseIdLengthMax = 64
/** Instance ids are base64url. The receiver makes them. */
export const instanceIdLengthMin = 8
export const instanceIdLengthMax = 64
/** Offers that one receiving process may work on at a time. */
export const offersOpenMax = 64
export const jsonBodyBytesMax = 64 * KIB
/** Largest body that consists of secrets or keys only. Clients without an account may send such bodies. */
export const secretsBodyBytesMax = 4 * KIB
/** Largest problem of a receiver. The portal passes it on unchanged. */
export const problemBytesMax = 8 * KIB
/** How deep a problem of a receiver may be nested; the problem itself is the first level. */
export const problemLevelsMax = 32
/** Longest values of the members that every problem has. */
export const problemTypeLengthMax = 256
export const problemTitleLengthMax = 512
export const problemCodeLengthMax = 64
export const problemDetailLengthMax = 4096
/** No JSON answer is longer, and clients accept no longer one. */
export const answerBytesMax = 4 * MIB
/** Largest page of a list, in bytes. With large items a page ends before it has reached its count. */
export const pageBytesMax = MIB
/** Most bytes of notifications in the status of a transfer. The list of parts of the largest transfer fits beside them. */
export const statusNotificationsBytesMax = 2 * MIB
export const eventsPerPageMax = 500
export const transfersPerPageMax = 100
/** Longest address of a webhook, in UTF-16 units. */
export const webhookUrlLengthMax = 2048
/** Messages in one page of a webhook's log. */
export const webhookMessagesPerPageMax = 100
/** Longest time for which a request with `Prefer: wait` is held (RFC 7240 section 4.3). */
export const waitSecondsMax = 25
/** After this silence the portal writes a comment to an event stream, so that both sides know that the connection lives. */
export const heartbeatMs = 25_000

/**
 * The part size for a file: the default, doubled until the number of parts is within bounds.
 *
 * @param partSizeBytesWanted where doubling starts
 */
export function choosePartSizeBytes(sizeBytes: number, partSizeBytesWanted: number = partSizeBytesDefault): number {
  let partSizeBytes = partSizeBytesWanted
  while (sizeBytes > partSizeBytes * partsPerTransferMax && partSizeBytes < partSizeBytesMax) partSizeBytes *= 2
  return Math.min(partSizeBytes, partSizeBytesMax)
}
