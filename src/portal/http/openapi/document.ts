/**
 * `/openapi.json`: the portal's interface as OpenAPI 3.1, made from its routes. It is made at the first request and kept as bytes.
 */
import type { RouteOptions } from 'fastify'
import { ProblemBody, type ProblemCode, problemKinds, problemMediaType } from '../../../protocol/index.ts'
import { problemsOf } from './common-problems.ts'
import { lengthOfPart, retryAfter, wwwAuthenticate } from './headers.ts'
import { SchemaWriter } from './named-schemas.ts'
import type { AnswerDescription, Content, HeaderFields } from './operation.ts'

const JSON_TYPE = 'application/json'

const info = {
  title: 'GoLooader portal',
  description: 'File delivery with receipts. PROTOCOL.md says what the requests mean together.',
  version: '1',
  license: { name: 'MIT', identifier: 'MIT' },
}

const tags = [
  { name: 'sender', description: 'The first hop: from a sender to the portal.' },
  { name: 'receiver', description: 'The second hop: from the portal to a receiver.' },
  { name: 'accounts', description: 'Who uses the portal, and with which keys.' },
  { name: 'guests', description: 'Links for people without an account.' },
  { name: 'webhooks', description: 'Notifications sent to an address of the account.' },
  { name: 'operations', description: 'For operators, and for clients that look first.' },
]

const securitySchemes = {
  token: { type: 'http', scheme: 'bearer', description: 'The token that was made for `POST /v1/join`.' },
}

/** Collects the routes of a portal and describes them. */
export class ApiDescription {
  readonly #routes: RouteOptions[] = []
  readonly #withToken = new Set<RouteOptions>()
  readonly #baseUrl: string
  #bytes: Buffer | null = null

  /** @param baseUrl the address of the portal; null for the address of the document itself */
  constructor(baseUrl: string | null) {
    this.#baseUrl = baseUrl?.replace(/\/+$/, '') ?? '/'
  }

  /** The hook `onRoute`, called for each route. @throws Error for a route of the protocol without a name */
  add(route: RouteOptions): void {
    if (route.method === 'HEAD') return
    if (route.schema?.operationId !== undefined) this.#routes.push(route)
    else if (route.url.startsWith('/v1/')) throw new Error(`${route.method} ${route.url} has no operationId`)
  }

  /** Marks a route as one that needs a token. */
  needsToken(route: RouteOptions): void {
    this.#withToken.add(route)
  }

  /** The document as JSON, the same bytes each time. */
  toBytes(): Buffer {
    this.#bytes ??= Buffer.from(JSON.stringify(this.#document()))
    return this.#bytes
  }

  #document(): object {
    const writer = new Writer()
    const paths: Record<string, Record<string, object>> = {}
    for (const route of this.#routes) {
      const path = route.url.replace(/:(\w+)/g, '{$1}')
      const operations = paths[path] ?? {}
      paths[path] = operations
      for (const [index, method] of [route.method].flat().entries()) {
        const suffix = index === 0 ? '' : `By${method[0]}${method.slice(1).toLowerCase()}`
        operations[method.toLowerCase()] = this.#operation(writer, route, suffix)
      }
    }
    return {
      openapi: '3.1.1',
      info,
      servers: [{ url: this.#baseUrl }],
      tags,
      paths,
      components: { schemas: writer.components, responses: writer.refusals, securitySchemes },
    }
  }

  #operation(writer: Writer, route: RouteOptions, suffix: string): object {
    const { operationId, summary, tags: ownTags, requestHeaders = {} } = route.schema ?? {}
    const needsToken = this.#withToken.has(route)
    const parameters = [
      ...membersOf(route.schema?.params).map((one) => parameter(writer, 'path', one)),
      ...membersOf(route.schema?.querystring).map((one) => parameter(writer, 'query', one)),
      ...Object.entries(requestHeaders).map(([name, { schema, description, isRequired = false }]) =>
        parameter(writer, 'header', { name, schema, description, isRequired }),
      ),
    ]
    return {
      operationId: `${operationId}${suffix}`,
      summary,
      tags: ownTags,
      security: needsToken ? [{ token: [] }] : [],
      ...(parameters.length === 0 ? {} : { parameters }),
      ...bodyOf(writer, route),
      responses: { ...successes(writer, route), ...refusals(writer, route, problemsOf(route, needsToken)) },
    }
  }
}

/** Writes each schema and refusal once, and references to it. */
class Writer extends SchemaWriter {
  readonly #names = new Map<string, string>()
  readonly refusals: Record<string, object> = {}

  /** @returns a reference, because most routes have the same refusals */
  refusal(status: number, refusal: object): object {
    const text = JSON.stringify(refusal)
    let name = this.#names.get(text)
    if (name === undefined) {
      const alike = Object.keys(this.refusals).filter((one) => one.startsWith(`Refusal${status}`)).length
      name = `Refusal${status}${alike === 0 ? '' : `-${alike + 1}`}`
      this.#names.set(text, name)
      this.refusals[name] = refusal
    }
    return { $ref: `#/components/responses/${name}` }
  }
}

interface Member {
  readonly name: string
  readonly schema: object
  readonly description?: string
  readonly isRequired: boolean
}

/** The members of an object's schema, as one parameter each. */
function membersOf(schema: unknown): Member[] {
  const { properties = {}, required = [] } = (schema ?? {}) as { properties?: object; required?: string[] }
  return Object.entries(properties).map(([name, one]) => ({ name, schema: one, isRequired: required.includes(name) }))
}

function parameter(writer: Writer, where: string, { name, schema, description, isRequired }: Member): object {
  const { description: own, ...written } = writer.write(schema) as { description?: string }
  const text = description ?? own
  return {
    name,
    in: where,
    required: isRequired,
    ...(text === undefined ? {} : { description: text }),
    schema: written,
  }
}

function bodyOf(writer: Writer, { schema }: RouteOptions): object {
  if (schema?.requestBody !== undefined) {
    const { description, content, isOptional = false } = schema.requestBody
    return { requestBody: { required: !isOptional, description, content: contentOf(writer, content) } }
  }
  if (schema?.body === undefined) return {}
  return { requestBody: { required: true, content: contentOf(writer, { [JSON_TYPE]: schema.body as object }) } }
}

function successes(writer: Writer, { schema }: RouteOptions): Record<string, object> {
  const responses = (schema?.response ?? {}) as Record<string, object>
  const answers: Readonly<Record<string, AnswerDescription>> = schema?.answers ?? {}
  const statuses = new Set([...Object.keys(responses), ...Object.keys(answers)])
  return Object.fromEntries(
    [...statuses].map((status) => {
      const { description = textOf(status), headers = {}, content: own } = answers[status] ?? {}
      const json = responses[status]
      const content = own ?? (json === undefined ? null : { [JSON_TYPE]: json })
      return [status, response(writer, description, headers, content)]
    }),
  )
}

/** The refusals by status, each with its codes and their meaning. */
function refusals(writer: Writer, { schema }: RouteOptions, codes: readonly ProblemCode[]): object {
  const byStatus = Map.groupBy(codes, (code) => problemKinds[code].status)
  const content = { [problemMediaType]: ProblemBody, ...schema?.refusalContent }
  return Object.fromEntries(
    [...byStatus].map(([status, those]) => {
      const text = those.map((code) => `- \`${code}\`: ${problemKinds[code].title}`).join('\n')
      const headers = { ...(headersByStatus[status] ?? {}), ...retryHeader(those) }
      const refusal = { ...response(writer, text, headers, content), 'x-problem-codes': those }
      return [status, writer.refusal(status, refusal)]
    }),
  )
}

/** The headers of every refusal with a status. */
const headersByStatus: Readonly<Record<number, HeaderFields>> = {
  401: { 'WWW-Authenticate': wwwAuthenticate },
  416: { 'Content-Range': lengthOfPart },
}

function retryHeader(codes: readonly ProblemCode[]): HeaderFields {
  const mayRetry = codes.some((code) => problemKinds[code].next === 'retry' || problemKinds[code].status === 507)
  return mayRetry ? { 'Retry-After': retryAfter } : {}
}

function response(writer: Writer, description: string, headers: HeaderFields, content: Content | null): object {
  const fields = Object.entries(headers).map(([name, { schema, isRequired = false, ...field }]) => [
    name,
    { description: field.description, required: isRequired, schema: writer.write(schema) },
  ])
  return {
    description,
    ...(fields.length === 0 ? {} : { headers: Object.fromEntries(fields) }),
    ...(content === null ? {} : { content: contentOf(writer, content) }),
  }
}

function contentOf(writer: Writer, content: Content): object {
  return Object.fromEntries(
    Object.entries(content).map(([mediaType, schema]) => [mediaType, { schema: writer.write(schema) }]),
  )
}

function textOf(status: string): string {
  return status === '201' ? 'Created' : status === '204' ? 'Done; there is no content' : 'Done'
}
