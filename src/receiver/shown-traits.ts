/** What events and decisions tell of a file besides its name and size. */
import { type FileTraits, rfc3339Text } from '../protocol/index.ts'

export interface ShownTraits {
  /** Type and subtype, in lower case; null where the sender said none, or the metadata is not open yet. */
  readonly mediaType: string | null
  /** When the file was modified last, at its sender: RFC 3339, with up to nine digits of a second; null where it is unknown. */
  readonly modifiedAt: string | null
  readonly isExecutable: boolean
}

export function shownTraits({ mediaType, mtimeNs, isExecutable }: FileTraits): ShownTraits {
  return { mediaType, modifiedAt: mtimeNs === null ? null : rfc3339Text(mtimeNs), isExecutable }
}
