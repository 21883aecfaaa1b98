/** The result of a request that a page made, as data for a test. */
export interface Asked {
  readonly status?: number
  readonly contentType?: string | null
  readonly etag?: string | null
  readonly text?: string
  /** `NoResponseError`, or the name of another error. */
  readonly error?: string
  readonly message?: string
  readonly sentBytes: number
  readonly sentTimes: number
  readonly tookMs: number
}
