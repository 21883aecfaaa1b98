/** How large a file or a folder is; a folder has a picture before its size. */
import type { TreeSize } from '../../protocol/index.ts'
import { sizeText } from '../model/groups.ts'

export interface SizeProps {
  /** Null while the size of a stream is not known. */
  readonly sizeBytes: number | null
  /** Null for a file. */
  readonly tree: TreeSize | null
}

export function Size({ sizeBytes, tree }: SizeProps) {
  return (
    <>
      {tree !== null && (
        <>
          <FolderMark />
          folder,{' '}
        </>
      )}
      {sizeText({ sizeBytes, tree })}
    </>
  )
}

function FolderMark() {
  return (
    <svg class="kind" viewBox="0 0 16 13" aria-hidden="true">
      <path d="M1 2.5q0-1.5 1.5-1.5h3.2l1.8 2h6q1.5 0 1.5 1.5v6q0 1.5-1.5 1.5h-11q-1.5 0-1.5-1.5z" />
    </svg>
  )
}
