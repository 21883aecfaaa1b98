/** Validates requests with the schemas of the protocol, which `/openapi.json` shows, too. */
import type { FastifySchemaCompiler, FastifyTypeProvider } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { Problem } from '../../protocol/index.ts'

/** Derives the types of handlers from the schemas of their routes. */
export interface SchemaTypes extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

/** How many faults an answer names. */
const ERRORS_NAMED_MAX = 3
/** A valid announcement has fewer values than this, and fewer characters in its names and texts. */
const VALUES_NAMED_MAX = 150
const LENGTH_NAMED_MAX = 32 * 1024
/** A longer description of faults is cut off, because it repeats names from the request. */
const DETAIL_LENGTH_MAX = 500

export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'request' }) => {
  // Compiled at the first request that needs the schema, so that the portal starts faster.
  let validator: Validator | null = null
  return (value: unknown) => {
    validator ??= Compile(schema)
    if (validator.Check(value)) return { value }
    return { error: new Problem('request-invalid', { detail: faultsOf(validator, value, httpPart) }) }
  }
}

/**
 * Describes the faults of a value that a schema refuses. That costs far more than the refusal, so the portal does it only for values
 * no larger than a valid announcement.
 *
 * @param what a name for the value in the message
 */
export function faultsOf(validator: Validator, value: unknown, what: string): string {
  if (!isSmall(value)) return `${what} is not of the documented form`
  const faults = validator.Errors(value).slice(0, ERRORS_NAMED_MAX)
  return faults
    .map(({ instancePath, message }) => `${what}${instancePath} ${message}`)
    .join(', ')
    .slice(0, DETAIL_LENGTH_MAX)
}

/** Whether a JSON value contains few values and little text. It stops counting at the limit. */
function isSmall(value: unknown): boolean {
  let length = 0
  const seen: unknown[] = [value]
  for (let index = 0; index < seen.length; index++) {
    const one = seen[index]
    if (typeof one === 'string') length += one.length
    else if (typeof one === 'object' && one !== null) {
      const names = Object.keys(one)
      if (seen.length + names.length > VALUES_NAMED_MAX) return false
      for (const name of names) length += name.length
      seen.push(...Object.values(one))
    }
    if (length > LENGTH_NAMED_MAX) return false
  }
  return true
}
