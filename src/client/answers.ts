/** Reads the portal's answers: within bounds, and validated. */
import type { Static, TSchema } from 'typebox'
import { IdleTimeout } from '../async/index.ts'
import {
  answerBytesMax,
  conforms,
  type NextStep,
  nextStepOf,
  ProblemBody,
  type ProblemJson,
  problemMediaType,
  retryAfterMsMax,
  retryAfterMsMin,
  within,
} from '../protocol/index.ts'
import { type HttpResponse, NoResponseError } from './transport.ts'

/** The portal refused a request with a problem. */
export class RemoteProblem extends Error {
  override readonly name = 'RemoteProblem'
  readonly problem: ProblemJson
  /** The pause that `Retry-After` asked for (RFC 9110 section 10.2.3), within bounds; null where it is missing. */
  readonly retryAfterMs: number | null

  constructor(problem: ProblemJson, retryAfterMs: number | null = null) {
    super(problem.detail === undefined ? problem.title : `${problem.title}: ${problem.detail}`)
    this.problem = problem
    this.retryAfterMs = retryAfterMs
  }

  get code(): string {
    return this.problem.code
  }

  get next(): NextStep {
    return nextStepOf(this.problem)
  }
}

/**
 * Whether the portal does not know who asks: it rejects the token, or the token did not arrive. Every other request would fail in
 * the same way.
 */
export function isAboutToken({ code }: Pick<ProblemJson, 'code'>): boolean {
  return code === 'credentials-invalid' || code === 'credentials-missing'
}

/** Advice for `credentials-missing`: something between a client that sent its token and the portal removes it. */
export const tokenRemovedText =
  'The token was sent, and never came: something between here and the portal removes the Authorization header. It has to pass it ' +
  'on (Squid: login=PASSTHRU; nginx: proxy_set_header Authorization $http_authorization). The token itself is still good.'

type AnyResponse = HttpResponse<AsyncIterable<Uint8Array>>

/** Checks a value from outside. @throws NoResponseError when it does not match the schema */
export function checked<Schema extends TSchema>(schema: Schema, value: unknown): NoInfer<Static<Schema>> {
  if (!conforms(schema, value)) throw new NoResponseError('the answer is not one that a portal gives')
  return value
}

/** Parses JSON from outside. @throws NoResponseError when it is not valid JSON */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new NoResponseError('the answer is not JSON', { cause })
  }
}

/** The body of a successful answer. @throws RemoteProblem when the portal refused, NoResponseError when the answer is garbled */
export async function readAnswer<Schema extends TSchema>(
  response: AnyResponse,
  schema: Schema,
  stallTimeoutMs: number,
): Promise<NoInfer<Static<Schema>>> {
  await throwIfProblem(response, stallTimeoutMs)
  return checked(schema, parsed(await readText(response, stallTimeoutMs)))
}

/** @throws RemoteProblem when the answer is a problem, NoResponseError for any other error status */
export async function throwIfProblem(response: AnyResponse, stallTimeoutMs: number): Promise<void> {
  if (response.status >= 200 && response.status < 300) return
  const text = await readText(response, stallTimeoutMs)
  if (!response.header('content-type')?.startsWith(problemMediaType)) {
    throw notFromPortal(response.status)
  }
  throw new RemoteProblem(checked(ProblemBody, parsed(text)), retryAfterMsOf(response))
}

/**
 * The pause that `Retry-After` asks for (RFC 9110 section 10.2.3), in seconds or as a date, within bounds; null where there is none. A date is
 * compared with the one of the answer, so that different clocks do not matter.
 */
export function retryAfterMsOf(response: Pick<AnyResponse, 'header'>): number | null {
  const field = response.header('retry-after')?.trim() ?? ''
  const sentMs = Date.parse(response.header('date') ?? '')
  const dateMs = field.endsWith(' GMT') ? Date.parse(field) : Number.NaN
  const pauseMs = /^\d/.test(field) ? Number(field) * 1000 : Math.max(0, dateMs - sentMs)
  return pauseMs >= 0 ? within(retryAfterMsMin, pauseMs, retryAfterMsMax) : null
}

/** The error for an answer that a load balancer or a proxy gave by itself, in words for people. */
function notFromPortal(status: number): NoResponseError {
  return new NoResponseError(textOfOther(status), { isCut: true, isPermanent: status === 413 })
}

function textOfOther(status: number): string {
  const who = 'what stands in front of the portal'
  switch (status) {
    case 502:
    case 503:
    case 504:
      return `${who} cannot reach it just now (HTTP status ${status})`
    case 408:
      return `${who} did not wait any longer for the request (HTTP status 408)`
    case 413:
      return `${who} takes no request of this size (HTTP status 413): its limit has to be raised`
    default:
      return `HTTP status ${status} from something that is not a portal`
  }
}

async function readText(response: AnyResponse, stallTimeoutMs: number): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of unstalled(response, stallTimeoutMs)) {
    text += decoder.decode(bytes, { stream: true })
    if (text.length > answerBytesMax) throw new NoResponseError('the answer is too long')
  }
  return text + decoder.decode()
}

/**
 * The bytes of a body. The time that the consumer takes does not count as silence.
 *
 * @throws NoResponseError when the body breaks, or when no byte comes for `stallTimeoutMs`
 */
export async function* unstalled(response: AnyResponse, stallTimeoutMs: number): AsyncGenerator<Uint8Array> {
  let stalled = false
  using idle = new IdleTimeout(stallTimeoutMs, () => {
    stalled = true
    response.discard()
  })
  try {
    for await (const bytes of response.body) {
      idle.pause()
      yield bytes
      idle.refresh()
    }
  } catch (cause) {
    if (!stalled) throw new NoResponseError('the connection broke', { cause })
  } finally {
    response.discard()
  }
  if (stalled) throw new NoResponseError(`the answer stalled for ${stallTimeoutMs} ms`)
}

/** Reads an answer without content to its end, so that its connection can be used again. */
export async function drain(response: AnyResponse, stallTimeoutMs: number): Promise<void> {
  for await (const _ of unstalled(response, stallTimeoutMs)) {
    // The content is ignored.
  }
}
