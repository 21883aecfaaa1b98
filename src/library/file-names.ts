import type { KnownSelf } from '../profile/index.ts'
import { type Metadata, Problem, wrappedKeyOf } from '../protocol/index.ts'
import { ownContentKey } from '../sender/trust.ts'
import { ContentKey } from '../trust/index.ts'

/** A transfer that this account has sent (it has `to`), or a delivery for this account. */
export interface NamedItem {
  readonly transferId: string
  readonly from: string
  readonly to?: readonly string[]
  readonly metadata: Metadata
}

/** @throws Problem `seal-unopenable`, `seal-broken` */
export async function fileNameOf(item: NamedItem, self: () => Promise<KnownSelf>): Promise<string> {
  const { transferId, from, to, metadata } = item
  if (!('sealed' in metadata)) return metadata.name
  const { account, keys } = await self()
  if (keys === null) throw unopenable('this account has no keys')
  const wrapped = wrappedKeyOf(metadata, account)
  if (to === undefined && wrapped === undefined) throw unopenable('it is not sealed for this account')
  const contentKey =
    to !== undefined || wrapped === undefined
      ? await ownContentKey(transferId, from, metadata, keys)
      : await ContentKey.unwrap(wrapped, { transferId, from, to: account }, keys)
  if (contentKey === null) throw unopenable('it has no key')
  return (await contentKey.openMetadata(metadata.sealed)).name
}

function unopenable(detail: string): Problem {
  return new Problem('seal-unopenable', { detail })
}
