/**
 * Gives the memory of a buffer back at once; it must not be used any more. The memory of buffers lies outside of what the
 * garbage collector looks after: to be rid of it, it goes through everything else, again and again while content streams.
 */
export function release(bytes: Uint8Array): void {
  // A buffer that shares its memory with others must keep it.
  if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength === bytes.byteLength) bytes.buffer.transfer(0)
}
