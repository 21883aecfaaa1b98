/** Numbers in URLs: text for the portal, integers for generated clients. */
import { Type } from 'typebox'
import { partsPerTransferMax } from '../../../protocol/index.ts'
import { describedAs } from './operation.ts'

/** Decimal digits, at most as many as the largest safe integer of JavaScript has. */
const POSITIVE = '^[1-9][0-9]{0,15}$'
const NATURAL = '^[0-9]{1,16}$'

/**
 * A query parameter for the largest number of items. A number above `max` counts as `max`, so that a client need not know the
 * portal's limit.
 */
export function countText(max: number, fallback: number) {
  const description = `At most so many. More than ${max} counts as ${max}.`
  const described = { type: 'integer', minimum: 1, default: fallback }
  return Type.String({ pattern: POSITIVE, description, [describedAs]: described })
}

/** The number of a parameter with the schema {@link countText}. */
export function countOf(text: string | undefined, max: number, fallback: number): number {
  return text === undefined ? fallback : Math.min(Number(text), max)
}

/** A number of bytes, as a query parameter. */
export function byteCountText(description: string) {
  return Type.String({ pattern: NATURAL, description, [describedAs]: { type: 'integer', minimum: 0 } })
}

/** The number of a part, in a path. A number beyond the parts of a transfer is `part-unknown`. */
export const PartNumberText = Type.String({
  pattern: POSITIVE,
  [describedAs]: { type: 'integer', minimum: 1, maximum: partsPerTransferMax },
})
