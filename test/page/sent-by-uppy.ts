/** What a test tells Uppy in a page, and what it gets back. */

export interface UppyOptions {
  readonly token: string
  readonly to: string
  /** Uppy's own pauses before it tries again; none where it is not to try. */
  readonly retryDelays?: readonly number[]
  /** Pauses once that many bytes have left, and resumes at once. */
  readonly pauseAtBytes?: number
}

export interface SentByUppy {
  /** null when Uppy gave up. */
  readonly uploadUrl: string | null
  readonly notification: string | null
  readonly transferId: string | null
}
