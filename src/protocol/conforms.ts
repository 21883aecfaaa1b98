import type { Static, TSchema } from 'typebox'
import type { Validator } from 'typebox/compile'
import { Check } from 'typebox/schema'

/** Loading the schema compiler takes longer than this many interpreted checks of single things. Most commands make fewer. */
const INTERPRETED_MAX = 100
/** Once it is loaded, compiling another schema takes as long as about this many interpreted checks. */
const INTERPRETED_WHEN_LOADED_MAX = 25

interface Known {
  /** What was checked so far: each value, and each item of its lists. */
  itemCount: number
  isCompiling: boolean
  validator: Validator | null
}

let isCompilerLoaded = false
const known = new WeakMap<TSchema, Known>()

/** Whether a value matches a schema. The schema is interpreted at first, and compiled after many checks. */
export function conforms<Schema extends TSchema>(schema: Schema, value: unknown): value is NoInfer<Static<Schema>> {
  let one = known.get(schema)
  if (one === undefined) {
    one = { itemCount: 0, isCompiling: false, validator: null }
    known.set(schema, one)
  }
  if (one.validator !== null) return one.validator.Check(value)
  one.itemCount += itemsOf(value)
  const interpretedMax = isCompilerLoaded ? INTERPRETED_WHEN_LOADED_MAX : INTERPRETED_MAX
  if (!one.isCompiling && one.itemCount >= interpretedMax) void compile(schema, one)
  return Check(schema, value)
}

/** One, and the items of its lists: an answer to a batch is as much work as an answer for each. */
function itemsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1
  let count = 1
  for (const member of Object.values(value)) if (Array.isArray(member)) count += member.length
  return count
}

async function compile(schema: TSchema, one: Known): Promise<void> {
  one.isCompiling = true
  try {
    const { Compile } = await import('typebox/compile')
    isCompilerLoaded = true
    one.validator = Compile(schema)
  } catch {
    // The interpreter gives the same result, only more slowly.
  }
}
