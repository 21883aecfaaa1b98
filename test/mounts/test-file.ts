/** A file or folder whose content is derived from its transferId, so that another process can make the same content. */
import { createHash } from 'node:crypto'
import { newTransferId, type TreeSize } from '../../src/protocol/index.ts'
import { file, folder, link, type MadeEntry, tarOf } from '../tree/trees.ts'

export interface TestFile {
  readonly transferId: string
  readonly name: string
  /** Of a folder, that of its only file. */
  readonly sizeBytes: number
  readonly isTree?: boolean
}

export function newFile(name: string, sizeBytes: number): TestFile {
  return { transferId: newTransferId(), name, sizeBytes }
}

/** A folder. */
export function newTree(name: string, sizeBytes: number): TestFile {
  return { ...newFile(name, sizeBytes), isTree: true }
}

/** What travels: of a folder its tar. */
export function contentOf(made: TestFile): Buffer {
  return made.isTree === true ? tarOf(entriesOf(made)) : bytesOf(made)
}

export function treeSizeOf(made: TestFile): TreeSize | null {
  return made.isTree === true ? { fileCount: 2, contentBytes: made.sizeBytes } : null
}

/** Each kind of entry once. */
export function entriesOf(made: TestFile): MadeEntry[] {
  const bytes = bytesOf(made)
  return [
    folder('root'),
    folder('root/folder'),
    file('root/folder/empty', ''),
    file('root/large', bytes),
    link('root/link', 'folder/empty'),
  ]
}

function bytesOf({ transferId, sizeBytes }: TestFile): Buffer {
  return createHash('shake256', { outputLength: sizeBytes }).update(transferId).digest()
}
