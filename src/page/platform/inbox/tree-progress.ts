/** What is told of a tree that is written into the chosen folder. */
import type { RenamedEntry } from '../../../receiver/index.ts'

/** How far it is written. */
export interface WritingProgress {
  readonly doneCount: number
  /** The path of the last file, as its sender wrote it. Not to be shown unescaped. */
  readonly path: string
}

/** What of it is not in the folder as its sender has it. */
export interface Unpacked {
  /** Symbolic links, which a browser cannot make. */
  readonly linkCount: number
  /** Entries under other names than their own. */
  readonly renamedCount: number
  /** The first of them. */
  readonly renamed: readonly RenamedEntry[]
}
