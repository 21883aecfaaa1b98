/** The same bytes in a browser and outside of it. */
export function someBytes(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (index * 7 + (index >> 8)) & 255)
}
