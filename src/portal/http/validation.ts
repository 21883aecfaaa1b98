/** Requests are held against the very schemas that the protocol is written in, and that `/openapi.json` shows. */
import type { FastifySchemaCompiler, FastifyTypeProvider } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Problem } from '../../protocol/index.ts'

/** Derives the types of handlers from the schemas of their routes. */
export interface SchemaTypes extends FastifyTypeProvider {
  validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown
  serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown
}

/** So many of the things that are wrong are named; the rest is of no help. */
const ERRORS_NAMED_MAX = 3

export const compileValidator: FastifySchemaCompiler<TSchema> = ({ schema, httpPart = 'request' }) => {
  const validator = Compile(schema)
  return (value: unknown) => {
    if (validator.Check(value)) return { value }
    const errors = validator.Errors(value).slice(0, ERRORS_NAMED_MAX)
    const detail = errors.map(({ instancePath, message }) => `${httpPart}${instancePath} ${message}`).join(', ')
    return { error: new Problem('request-invalid', { detail }) }
  }
}
