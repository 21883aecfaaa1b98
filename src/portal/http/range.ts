/** Range requests (RFC 9110 section 14): one range of bytes, and `If-Range` with a strong entity tag. */
import { Problem } from '../../protocol/index.ts'

export interface ByteRange {
  readonly startByte: number
  /** Inclusive. */
  readonly endByte: number
}

/**
 * The range that a request asks for. Anything but a single range of bytes is ignored, as RFC 9110 allows, and the whole is sent.
 *
 * @param etag the strong entity tag of the whole
 * @returns undefined for the whole
 * @throws Problem `range-unsatisfiable` for a range outside of the content (RFC 9110 section 14.1.2)
 */
export function byteRange(
  range: string | undefined,
  ifRange: string | string[] | undefined,
  etag: string,
  sizeBytes: number,
): ByteRange | undefined {
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return undefined
  const match = /^bytes=(\d*)-(\d*)$/i.exec(range.trim())
  if (match === null) return undefined
  const [, from = '', to = ''] = match
  if (from === '' && to === '') return undefined
  // RFC 9110 section 14.1.1: a range that ends before it begins is invalid.
  if (from !== '' && to !== '' && Number(to) < Number(from)) return undefined
  const startByte = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from)
  const endByte = from === '' || to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1)
  if (startByte > endByte) throw new Problem('range-unsatisfiable', { sizeBytes })
  return { startByte, endByte }
}
