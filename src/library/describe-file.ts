import type { KnownSelf } from '../profile/index.ts'
import {
  fileTraitsOf,
  type Metadata,
  type PlainMetadata,
  Problem,
  type TreeSize,
  wrappedKeyOf,
} from '../protocol/index.ts'
import { ownContentKey } from '../sender/trust.ts'
import { ContentKey } from '../trust/index.ts'

/** A transfer that this account has sent (it has `to`), or a delivery for this account. */
export interface NamedItem {
  readonly transferId: string
  readonly from: string
  readonly to?: readonly string[]
  readonly metadata: Metadata
}

/** What the sender says about what it sent. */
export interface FileDescription {
  /** It is not safe to show unescaped. That of a folder ends with `.tar`. */
  readonly name: string
  /** How many files a folder has, and how many bytes they have together; null for a file. */
  readonly tree: TreeSize | null
}

/** @throws Problem `seal-unopenable`, `seal-broken` */
export async function describeFile(item: NamedItem, self: () => Promise<KnownSelf>): Promise<FileDescription> {
  const { name, mediaType } = await metadataOf(item, self)
  return { name, tree: fileTraitsOf(mediaType).tree }
}

async function metadataOf(item: NamedItem, self: () => Promise<KnownSelf>): Promise<PlainMetadata> {
  const { transferId, from, to, metadata } = item
  if (!('sealed' in metadata)) return metadata
  const { account, keys } = await self()
  if (keys === null) throw unopenable('this account has no keys')
  const wrapped = wrappedKeyOf(metadata, account)
  if (to === undefined && wrapped === undefined) throw unopenable('it is not sealed for this account')
  const contentKey =
    to !== undefined || wrapped === undefined
      ? await ownContentKey(transferId, from, metadata, keys)
      : await ContentKey.unwrap(wrapped, { transferId, from, to: account }, keys)
  if (contentKey === null) throw unopenable('it has no key')
  return contentKey.openMetadata(metadata.sealed)
}

function unopenable(detail: string): Problem {
  return new Problem('seal-unopenable', { detail })
}
