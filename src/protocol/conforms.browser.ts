import type { Static, TSchema } from 'typebox'
import { Check } from 'typebox/schema'

/** Whether a value matches a schema. The schema is interpreted: a page must not compile code, and need not load the compiler. */
export function conforms<Schema extends TSchema>(schema: Schema, value: unknown): value is NoInfer<Static<Schema>> {
  return Check(schema, value)
}
