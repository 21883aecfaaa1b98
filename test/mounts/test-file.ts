/** A file whose content is derived from its transferId, so that another process can make the same content. */
import { createHash } from 'node:crypto'
import { newTransferId } from '../../src/protocol/index.ts'

export interface TestFile {
  readonly transferId: string
  readonly name: string
  readonly sizeBytes: number
}

export function newFile(name: string, sizeBytes: number): TestFile {
  return { transferId: newTransferId(), name, sizeBytes }
}

export function contentOf({ transferId, sizeBytes }: TestFile): Buffer {
  return createHash('shake256', { outputLength: sizeBytes }).update(transferId).digest()
}
