import type { KnownSelf } from '../profile/index.ts'
import { type Metadata, type PartLayout, type PlainMetadata, Problem, wrappedKeyOf } from '../protocol/index.ts'
import { describe, type ShownTraits } from '../receiver/index.ts'
import { ownContentKey } from '../sender/trust.ts'
import { ContentKey, openedLayout } from '../trust/index.ts'

/** A transfer that this account has sent (it has `to`), or a delivery for this account. */
export interface NamedItem extends PartLayout {
  readonly transferId: string
  readonly from: string
  readonly to?: readonly string[]
  readonly metadata: Metadata
}

/** The file or folder of a transfer, as its sender described it. */
export interface DescribedFile extends ShownTraits {
  /** As the sender wrote it: it may hold anything. */
  readonly name: string
  /** The length of the file itself. Of a folder, that of its tar; of a stream that is not complete, what the portal has of it. */
  readonly sizeBytes: number
}

/** @throws Problem `seal-unopenable`, `seal-broken` */
export async function fileOf(item: NamedItem, self: () => Promise<KnownSelf>): Promise<DescribedFile> {
  const { metadata } = item
  const plain = 'sealed' in metadata ? await openedMetadata(item, await self()) : metadata
  return { ...describe(plain, { unpacksTrees: true, keepsTimes: true }).shown, sizeBytes: openedSizeBytes(item) }
}

/** The length of the file itself. A sealed part is longer than its content. */
export function openedSizeBytes(item: Pick<NamedItem, 'metadata' | keyof PartLayout>): number {
  if (!('sealed' in item.metadata)) return item.sizeBytes
  try {
    return openedLayout(item).sizeBytes
  } catch (error) {
    // What has come of a stream may end within a part.
    if (error instanceof Problem) return item.sizeBytes
    throw error
  }
}

async function openedMetadata(item: NamedItem, { account, keys }: KnownSelf): Promise<PlainMetadata> {
  const { transferId, from, to, metadata } = item
  if (!('sealed' in metadata)) return metadata
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
