/**
 * The limits of the wire itself: what a peer may rely on never being larger. A portal's own limits, which its
 * operator sets, are announced at `GET /v1/limits`.
 */

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
const TIB = 1024 * GIB

/** A part is at least this long, except the last one. Keeps the number of requests per byte in bounds. */
export const partSizeBytesMin = 64 * KIB
/** Many proxies refuse a request of more than 100 MB. */
export const partSizeBytesMax = 64 * MIB
export const partSizeBytesDefault = 8 * MIB
/** More parts than this make lists of parts unwieldy; larger files use larger parts. */
export const partsPerTransferMax = 10_000
/** A file up to this size can be sent in one request. */
export const wholeSizeBytesMax = 256 * KIB
/** A file up to this size can come with its offer. All that may be open at a time fit into what a stream may hold back. */
export const inlineSizeBytesMax = 32 * KIB
export const transferSizeBytesMax = TIB / 2
export const receiversPerTransferMax = 32
/** Longest file name that may be announced, in UTF-16 units; what a receiver writes is shorter. */
export const nameLengthMax = 1024
/** Base64url of the longest metadata, every character of the name escaped, with what sealing adds. */
export const sealedMetadataLengthMax = 12 * KIB
/** Of a manifest or a receipt. */
export const signedTokenLengthMax = 16 * KIB
/** Offers that one receiving process may work on at a time. */
export const offersOpenMax = 64
export const jsonBodyBytesMax = 64 * KIB
/** A receiver's problem is passed on unchanged, so it has to be small. */
export const problemBytesMax = 8 * KIB
export const eventsPerPageMax = 500
export const transfersPerPageMax = 100
/** Longest time for which a request with `Prefer: wait` is held (RFC 7240 section 4.3). */
export const waitSecondsMax = 25
/** Silence on an event stream after which the portal writes a comment, so that both sides know it lives. */
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
