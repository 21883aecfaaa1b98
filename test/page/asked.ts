/** What became of a request that a page made, as data that a test can look at. */
export interface Asked {
  readonly status?: number
  readonly contentType?: string | null
  readonly etag?: string | null
  readonly text?: string
  /** `NoAnswer`, or the name of another error. */
  readonly error?: string
  readonly message?: string
  readonly sentBytes: number
  readonly sentTimes: number
  readonly tookMs: number
}
