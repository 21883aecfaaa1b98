/**
 * The description of a route beyond the schemas that validate its requests. `/openapi.json` is made from both, so that behaviour
 * and documentation are written in one place.
 */
import type { TSchema } from 'typebox'
import type { ProblemCode } from '../../../protocol/index.ts'

/** A header field of a request or of an answer. */
export interface HeaderField {
  readonly description: string
  readonly schema: TSchema
  /** For a request: it is refused without this header. For an answer: it always has this header. */
  readonly isRequired?: boolean
}

export type HeaderFields = Readonly<Record<string, HeaderField>>

/** Bodies by media type, each as a JSON schema. `{}` stands for bytes of any kind. */
export type Content = Readonly<Record<string, object>>

/** Describes an answer that has more than JSON. */
export interface AnswerDescription {
  readonly description?: string
  readonly headers?: HeaderFields
  /** Replaces the JSON of `response`. */
  readonly content?: Content
}

declare module 'fastify' {
  interface FastifySchema {
    /** The name of the operation, for generated clients. A route without one is left out. */
    readonly operationId?: string
    readonly summary?: string
    readonly tags?: readonly string[]
    /** The codes of this route's own refusals, besides those of its kind of route. */
    readonly problems?: readonly ProblemCode[]
    readonly requestHeaders?: HeaderFields
    /** The body, if it is not JSON of the schema `body`. */
    readonly requestBody?: { readonly description: string; readonly content: Content; readonly isOptional?: boolean }
    /** Descriptions by status. A missing status is described by `response` alone. */
    readonly answers?: Readonly<Record<number, AnswerDescription>>
    /** The media types of refusals, if there are others than the problem of RFC 9457. */
    readonly refusalContent?: Content
  }
}

/** Server-sent events (HTML standard, section 9.2), by the name of the event. */
export function eventStreamContent(events: Readonly<Record<string, { data: TSchema; id?: TSchema }>>): Content {
  const items = Object.entries(events).map(([event, { data, id }]) => ({
    type: 'object',
    properties: { event: { type: 'string', const: event }, data, ...(id === undefined ? {} : { id }) },
    required: ['event', 'data', ...(id === undefined ? [] : ['id'])],
  }))
  return textOf('text/event-stream', { oneOf: items })
}

/** JSON texts, one per line. Clients ignore empty lines. */
export function jsonLines(mediaType: string, line: object): Content {
  return textOf(mediaType, line)
}

/** Bytes that contain several items one after another. */
export function bytesOf(items: readonly object[]): object {
  const contentSchema = { type: 'array', prefixItems: items, items: false, minItems: items.length }
  return { contentMediaType: 'application/octet-stream', contentSchema }
}

/** A text that contains a list of items, by JSON Schema 2020-12 (validation, section 8), because OpenAPI 3.1 cannot express it. */
function textOf(mediaType: string, item: object): Content {
  return { [mediaType]: { type: 'string', contentMediaType: mediaType, contentSchema: { type: 'array', items: item } } }
}

/** The member with which a schema names another schema for the document. Requests are still validated with the schema itself. */
export const describedAs = 'x-described-as'
