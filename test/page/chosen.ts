/** The accounts and files of the tests that send from a browser, for code in Node and in the browser. */

export interface Account {
  readonly name: string
  readonly token: string
  readonly keys: string
  readonly isSealing: boolean
}

/** A file for a test. The seed defines its content. */
export interface Chosen {
  readonly name: string
  readonly sizeBytes: number
  readonly seed: number
  readonly lastModified: number
  /** The name for the receivers, where it differs from the file name. */
  readonly toldAs?: string
}

/** A folder for a test: the paths in it, and their files; null for an empty folder. */
export interface ChosenFolder {
  readonly name: string
  readonly entries: Readonly<Record<string, Omit<Chosen, 'name' | 'toldAs'> | null>>
}

/** The content of a file for a seed, equal in Node and in a browser. */
export function fileContent(seed: number, sizeBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sizeBytes)
  let state = seed * 2654435761 + 1
  for (let at = 0; at < sizeBytes; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}
