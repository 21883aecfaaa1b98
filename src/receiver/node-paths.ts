/** Where the receiver keeps what is not finished: a folder of its own inside the folder that it delivers to. */
import { join } from 'node:path'
import { inboxFolderName } from './names.ts'

/** The files of one transfer that is not finished. */
export interface TransferPaths {
  /** The content so far, written at the offsets of its parts. */
  readonly partial: string
  /** Which parts of it count. */
  readonly parts: string
  /** Under which name it is being published. */
  readonly commit: string
}

/** @param transferId one that has been validated: it becomes part of a path */
export function transferPaths(folder: string, transferId: string): TransferPaths {
  const base = join(folder, inboxFolderName, transferId)
  return { partial: `${base}.partial`, parts: `${base}.parts`, commit: `${base}.commit` }
}
