/** Range requests (RFC 9110 section 14): one range of bytes, and `If-Range` with a strong entity tag. */

export interface ByteRange {
  readonly startByte: number
  /** Inclusive. */
  readonly endByte: number
}

/**
 * The range that a request asks for. What cannot be served as one range is ignored, as RFC 9110 allows, and the
 * whole is sent.
 *
 * @param etag the strong entity tag of the whole
 * @returns undefined for the whole
 */
export function byteRange(
  range: string | undefined,
  ifRange: string | string[] | undefined,
  etag: string,
  sizeBytes: number,
): ByteRange | undefined {
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range.trim())
  if (match === null) return undefined
  const [, from = '', to = ''] = match
  if (from === '' && to === '') return undefined
  const startByte = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from)
  const endByte = from === '' || to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1)
  return startByte > endByte ? undefined : { startByte, endByte }
}
