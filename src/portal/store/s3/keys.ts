/**
 * The names of objects, below the prefix of the address:
 *
 *     <transferId>/<partNumber>.<digest>                 the first generation
 *     <transferId>/<generation>/<partNumber>.<digest>    any other
 *     owner                                              whose they are
 */
import type { PartKey, PartPlace, PartsKey } from '../contract.ts'

const PART =
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\/(?:([a-z0-9]{1,32})\/)?([1-9][0-9]{0,5})\.([0-9a-f]{32,128})$/

export const OWNER_KEY = 'owner'

export function transferPrefix(transferId: string): string {
  return `${transferId}/`
}

export function partsPrefix({ transferId, generation }: PartsKey): string {
  return generation === '' ? transferPrefix(transferId) : `${transferPrefix(transferId)}${generation}/`
}

/** The beginning of every key of a part number, without the dot. */
export function placePrefix(place: PartPlace): string {
  return `${partsPrefix(place)}${place.partNumber}`
}

export function keyOf(part: PartKey): string {
  return `${placePrefix(part)}.${part.digest}`
}

/** The part of a key; null for a key that does not belong to this store. */
export function partOf(key: string): PartKey | null {
  const [, transferId, generation = '', partNumber, digest] = PART.exec(key) ?? []
  if (transferId === undefined || partNumber === undefined || digest === undefined) return null
  return { transferId, generation, partNumber: Number(partNumber), digest }
}
