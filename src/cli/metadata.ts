import type { Metadata } from '../protocol/index.ts'
import { Problem } from '../protocol/index.ts'
import { ownContentKey } from '../sender/index.ts'
import type { AccountKeys } from '../trust/index.ts'
import { printable } from './text.ts'

/** The name of a file that this account has sent, safe to show. What cannot be opened with its keys is shown as such. */
export async function fileNameOf(
  { transferId, from, metadata }: { transferId: string; from: string; metadata: Metadata },
  keys: AccountKeys | null,
): Promise<string> {
  if (!('sealed' in metadata)) return printable(metadata.name)
  if (keys === null) return '(sealed)'
  try {
    const contentKey = await ownContentKey(transferId, from, metadata, keys)
    return contentKey === null ? '(sealed)' : printable((await contentKey.openMetadata(metadata.sealed)).name)
  } catch (error) {
    if (error instanceof Problem) return '(sealed with other keys)'
    throw error
  }
}
