/**
 * Compares the answers of a portal with its own `/openapi.json`: every status is documented, every problem has a code that is
 * documented for the request, and every JSON body matches its schema. Every portal in the tests is checked, so that code and
 * description cannot drift apart.
 */
import { subscribe } from 'node:diagnostics_channel'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { type Answer, parseAnswer, readToEnd } from './portal.ts'

interface DocumentedAnswer {
  readonly description: string
  readonly headers?: Record<string, { required: boolean }>
  readonly content?: Record<string, object>
  readonly 'x-problem-codes'?: readonly string[]
}

export interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly security: readonly object[]
  readonly parameters?: readonly { name: string; in: string; required: boolean; description?: string }[]
  readonly requestBody?: { required: boolean; content: Record<string, { schema: object }> }
  readonly responses: Record<string, DocumentedAnswer | { $ref: string }>
}

interface Document {
  readonly openapi: string
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { responses: Record<string, DocumentedAnswer> }
}

/** Header fields that an answer may have only where they are documented. */
const TOLD_FIELDS = [
  'content-digest',
  'content-range',
  'etag',
  'location',
  'preference-applied',
  'repr-digest',
  'retry-after',
  'www-authenticate',
]

export class Documentation {
  readonly document: Document
  readonly #ajv = new Ajv2020({ strict: false, validateFormats: false })
  readonly #paths: { path: string; pattern: RegExp }[]

  constructor(text: string) {
    this.document = JSON.parse(text)
    this.#ajv.addSchema(this.document, 'openapi')
    const byParameters = Object.keys(this.document.paths).sort((a, b) => a.split('{').length - b.split('{').length)
    this.#paths = byParameters.map((path) => ({
      path,
      pattern: new RegExp(`^${path.replaceAll('.', '\\.').replace(/\{\w+\}/g, '[^/]+')}$`),
    }))
  }

  /** Says why the status of an answer contradicts the documentation, or null when it does not. */
  faultOfStatus(method: string, url: string, status: number): string | null {
    const operation = this.#operation(method, url)
    if (operation === null || String(status) in operation.responses) return null
    // Every GET has a HEAD, except for streams, whose answer would never end.
    if (method === 'HEAD' && status === 404) return null
    return `${method} ${url} is answered ${status}, which ${operation.operationId} does not document`
  }

  /** Says why an answer contradicts the documentation, or null when it does not. */
  faultOf(method: string, url: string, answer: Answer): string | null {
    const operation = this.#operation(method, url)
    if (operation === null) return null
    const fault = this.faultOfStatus(method, url, answer.status) ?? this.#faultOfAnswer(method, operation, answer)
    return fault === null
      ? null
      : `${fault} (${method} ${url}: ${answer.status} ${answer.body.toString().slice(0, 500)})`
  }

  /** Compiles the schema at a place in the document. */
  validator(...place: readonly string[]): ValidateFunction {
    const pointer = place.map((one) => `/${one.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
    const validate = this.#ajv.getSchema(`openapi#${pointer}`)
    if (validate === undefined) throw new Error(`there is no schema at ${pointer}`)
    return validate
  }

  /** The documented answer with that status. The document defines a common refusal once and refers to it. */
  answerOf(operation: Operation, status: number): { answer: DocumentedAnswer; place: readonly string[] } {
    const found = operation.responses[status]
    if (found === undefined) throw new Error(`${operation.operationId} does not document ${status}`)
    if (!('$ref' in found)) {
      const [path, method] = this.#placeOf(operation)
      return { answer: found, place: ['paths', path, method, 'responses', String(status)] }
    }
    const name = found.$ref.slice('#/components/responses/'.length)
    const answer = this.document.components.responses[name]
    if (answer === undefined) throw new Error(`there is no ${found.$ref}`)
    return { answer, place: ['components', 'responses', name] }
  }

  #faultOfAnswer(method: string, operation: Operation, { status, headers, body }: Answer): string | null {
    const { answer, place } = this.answerOf(operation, status)
    const fields = Object.entries(answer.headers ?? {}).map(
      ([name, { required }]) => [name.toLowerCase(), required] as const,
    )
    const missing = fields.find(([name, required]) => required && headers[name] === undefined)
    if (missing !== undefined) return `an answer without ${missing[0]}`
    const known = new Set(fields.map(([name]) => name))
    // Node itself gives some answers in place of Fastify. The document lists those for every request.
    const undocumented = TOLD_FIELDS.find((name) => headers[name] !== undefined && !known.has(name))
    if (undocumented !== undefined) return `${undocumented} is not documented`
    if (method === 'HEAD' || body.length === 0) return null
    const mediaType = headers['content-type']?.split(';')[0] ?? ''
    if (answer.content?.[mediaType] === undefined) return `the media type ${mediaType} is not documented`
    if (!/[/+]json$/.test(mediaType)) return null
    const value: { code?: string } = JSON.parse(body.toString())
    const validate = this.validator(...place, 'content', mediaType, 'schema')
    if (!validate(value)) return `not of its schema: ${this.#ajv.errorsText(validate.errors)}`
    const codes = answer['x-problem-codes']
    return codes === undefined || codes.includes(value.code ?? '') ? null : `the code ${value.code} is not documented`
  }

  /** The documented operation. null for the page and for paths that do not exist, which the document does not describe. */
  #operation(method: string, url: string): Operation | null {
    const path = decoded(url.split('?')[0] ?? '')
    const found = this.#paths.find(({ pattern }) => pattern.test(path))
    if (found === undefined) return null
    return this.document.paths[found.path]?.[method === 'HEAD' ? 'get' : method.toLowerCase()] ?? null
  }

  #placeOf(operation: Operation): [path: string, method: string] {
    for (const [path, methods] of Object.entries(this.document.paths)) {
      for (const [method, one] of Object.entries(methods)) if (one === operation) return [path, method]
    }
    throw new Error(`${operation.operationId} is not of this document`)
  }
}

/** A path as the portal decodes it. An encoded slash does not separate segments. */
function decoded(path: string): string {
  try {
    return path
      .split('/')
      .map((one) => decodeURIComponent(one).replaceAll('/', '%2f'))
      .join('/')
  } catch {
    return path
  }
}

const documentations = new Map<number, { documentation: Documentation; faults: Set<string> }>()

// Node publishes each answer that it has sent to any client.
subscribe('http.server.response.finish', (message) => {
  const { request, response, server } = message as {
    request: IncomingMessage
    response: ServerResponse
    server: Server
  }
  const watched = documentations.get((server.address() as AddressInfo | null)?.port ?? 0)
  const fault = watched?.documentation.faultOfStatus(request.method ?? '', request.url ?? '', response.statusCode)
  if (fault !== undefined && fault !== null) watched?.faults.add(fault)
})

/** Checks every answer of a portal in this process. @returns a function that ends this and throws for undocumented answers */
export function watchAnswers(port: number, documentation: Documentation): () => void {
  const faults = new Set<string>()
  documentations.set(port, { documentation, faults })
  return () => {
    documentations.delete(port)
    if (faults.size > 0) throw new Error([...faults].join('\n'))
  }
}

let common: Promise<Documentation> | null = null

/** The OpenAPI document, which is the same for all portals of this version. */
export function documentationOf(port: number): Promise<Documentation> {
  common ??= textOf(port).then((text) => new Documentation(text))
  // When this portal stops in the meantime, the next one is asked again.
  common.catch(() => {
    common = null
  })
  return common
}

/** Fetches the document over a connection that closes at once, because some tests count open connections. */
async function textOf(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /openapi.json HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n')
  return parseAnswer(await readToEnd(socket)).body.toString()
}
