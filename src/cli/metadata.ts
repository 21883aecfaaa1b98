import type { Metadata } from '../protocol/index.ts'
import { Problem } from '../protocol/index.ts'
import { ownContentKey } from '../sender/index.ts'
import { type AccountKeys, ContentKey } from '../trust/index.ts'
import { printable } from './text.ts'

interface Named {
  readonly transferId: string
  readonly from: string
  readonly metadata: Metadata
}

/** The name of a file that this account has sent, safe to show. What cannot be opened with its keys is shown as such. */
export function fileNameOf({ transferId, from, metadata }: Named, keys: AccountKeys | null): Promise<string> {
  return nameIn(metadata, keys, (own) => ownContentKey(transferId, from, metadata, own))
}

/** The same of a file that came for this account. */
export function receivedNameOf(
  { transferId, from, metadata }: Named,
  account: string,
  keys: AccountKeys | null,
): Promise<string> {
  return nameIn(metadata, keys, async (own) => {
    const wrapped = 'sealed' in metadata ? metadata.keys[account] : undefined
    return wrapped === undefined ? null : ContentKey.unwrap(wrapped, { transferId, from, to: account }, own)
  })
}

async function nameIn(
  metadata: Metadata,
  keys: AccountKeys | null,
  contentKeyWith: (keys: AccountKeys) => Promise<ContentKey | null>,
): Promise<string> {
  if (!('sealed' in metadata)) return printable(metadata.name)
  if (keys === null) return '(sealed)'
  try {
    const contentKey = await contentKeyWith(keys)
    return contentKey === null ? '(sealed)' : printable((await contentKey.openMetadata(metadata.sealed)).name)
  } catch (error) {
    if (error instanceof Problem) return '(sealed with other keys)'
    throw error
  }
}
