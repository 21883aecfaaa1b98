/** The same bytes in a browser and in Node. */
export function someBytes(count: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: count }, (_, index) => someByte(index))
}

export function someByte(index: number): number {
  return (index * 7 + (index >> 8)) & 255
}
