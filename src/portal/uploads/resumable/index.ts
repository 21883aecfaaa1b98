/**
 * Uploads that later requests continue, for protocols that resume: the IETF's resumable uploads and tus. An upload resource has an address
 * with a secret, and uploads the content of one ordinary transfer: its parts lie in the store as always, receivers fetch them as they
 * come, and `complete` decides. What differs from an upload in one request is what happens when a request ends early.
 *
 * Promises kept here:
 * - The offset that a client is told is never more than what survives the loss of power: full parts that the ledger has recorded, and
 *   the tail, which is what came of the next part. Whatever was told is accepted.
 * - A request that breaks off loses nothing that it had time to store. A killed portal loses the part that was under way.
 * - One request at a time writes. A newer one asks it to stop, at whatever portal, and waits for a while until it has stored its tail.
 *   After that the newer one takes over, and nothing counts any more that the older one stores: each change compares the writer. A part
 *   that an older writer stores late is not taken for one of the upload, because the ledger has the digests of those.
 */

export { type NewUpload, ResumableUploads } from './resumable-uploads.ts'
export { belongsTo } from './tail.ts'
export type { Append, Appended, UploadSession, UploadState } from './upload-session.ts'
