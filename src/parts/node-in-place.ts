/** Ciphers over bytes in their own memory. */
import { releaseBuffer } from '../buffers/index.ts'

/**
 * Bytes at a time: they stay in the processor's cache between the steps. A cipher answers in new memory, which the system makes page by
 * page where it is larger than this; that takes five times as long as the cipher.
 */
const SLICE_BYTES = 128 * 1024

/**
 * Replaces bytes by what `replace` makes of them, slice by slice.
 *
 * @param replace returns as many bytes as it got, in new memory, which is freed
 */
export function replaceInPlace(bytes: Uint8Array, replace: (slice: Uint8Array) => Uint8Array): void {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    const slice = bytes.subarray(at, at + SLICE_BYTES)
    const replaced = replace(slice)
    slice.set(replaced)
    releaseBuffer(replaced)
  }
}
