/** Who sends from a browser in the tests, and what: told alike inside and outside of it. */

export interface Account {
  readonly name: string
  readonly token: string
  readonly keys: string
  readonly isSealing: boolean
}

/** A file as a test describes it: its content follows from its seed. */
export interface Chosen {
  readonly name: string
  readonly sizeBytes: number
  readonly seed: number
  readonly lastModified: number
  /** What the receivers are told, where that is not its own name. */
  readonly toldAs?: string
}

/** Content of a file that follows from a number, the same inside and outside of a browser. */
export function fileContent(seed: number, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeBytes)
  let state = seed * 2654435761 + 1
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}
