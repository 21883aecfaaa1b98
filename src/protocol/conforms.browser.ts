import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/schema'

/** Whether a value is of a schema. It is interpreted: a page may not make code from it, and need not load what would. */
export function conforms<Schema extends TSchema>(schema: Schema, value: unknown): value is Static<Schema> {
  return Check(schema, value)
}
