import type { Static, TSchema } from 'typebox'
import type { Validator } from 'typebox/compile'
import { Check } from 'typebox/schema'

/** Loading the schema compiler takes longer than this many interpreted checks. Most commands make fewer. */
const INTERPRETED_MAX = 100

interface Known {
  checkCount: number
  validator: Validator | null
}

const known = new WeakMap<TSchema, Known>()

/** Whether a value matches a schema. The schema is interpreted at first, and compiled after many checks. */
export function conforms<Schema extends TSchema>(schema: Schema, value: unknown): value is NoInfer<Static<Schema>> {
  let one = known.get(schema)
  if (one === undefined) {
    one = { checkCount: 0, validator: null }
    known.set(schema, one)
  }
  if (one.validator !== null) return one.validator.Check(value)
  one.checkCount += 1
  if (one.checkCount === INTERPRETED_MAX) void compile(schema, one)
  return Check(schema, value)
}

async function compile(schema: TSchema, one: Known): Promise<void> {
  try {
    const { Compile } = await import('typebox/compile')
    one.validator = Compile(schema)
  } catch {
    // The interpreter gives the same result, only more slowly.
  }
}
