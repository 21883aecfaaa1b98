/** Reading what the portal answers: bounded, validated, and never trusted to be what it should be. */
import type { Static, TSchema } from 'typebox'
import { conforms, type NextStep, nextStepOf, ProblemBody, type ProblemJson } from '../protocol/index.ts'
import { type HttpResponse, NoAnswer } from './transport.ts'

/** The portal said no, in its own words. */
export class RemoteProblem extends Error {
  override readonly name = 'RemoteProblem'
  readonly problem: ProblemJson
  /** What `Retry-After` asked for (RFC 9110 section 10.2.3); null where it did not. */
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

type AnyResponse = HttpResponse<AsyncIterable<Uint8Array>>

/** A list of the parts of the largest transfer fits; nothing that a portal says in JSON is larger. */
export const answerBytesMax = 4 * 1024 * 1024

/** Checks a value that came from outside. @throws NoAnswer when it is not of the schema */
export function checked<Schema extends TSchema>(schema: Schema, value: unknown): Static<Schema> {
  if (!conforms(schema, value)) throw new NoAnswer('the answer is not one that a portal gives')
  return value
}

/** Parses JSON that came from outside. @throws NoAnswer when it is none */
export function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new NoAnswer('the answer is not JSON', { cause })
  }
}

/** The body of a successful answer. @throws RemoteProblem when the portal said no, NoAnswer when it is garbled */
export async function readAnswer<Schema extends TSchema>(
  response: AnyResponse,
  schema: Schema,
  stallMs: number,
): Promise<Static<Schema>> {
  await throwIfProblem(response, stallMs)
  return checked(schema, parsed(await readText(response, stallMs)))
}

/** @throws RemoteProblem when the answer is a problem, NoAnswer when it is an error that no portal would give */
export async function throwIfProblem(response: AnyResponse, stallMs: number): Promise<void> {
  if (response.status >= 200 && response.status < 300) return
  const text = await readText(response, stallMs)
  if (!response.header('content-type')?.startsWith('application/problem+json')) {
    throw notFromPortal(response.status)
  }
  const seconds = Number(response.header('retry-after') ?? Number.NaN)
  throw new RemoteProblem(
    checked(ProblemBody, parsed(text)),
    Number.isFinite(seconds) && seconds >= 0 ? seconds * 1000 : null,
  )
}

/** What a load balancer or a proxy answers by itself, in plain words: not what the portal would have said. */
function notFromPortal(status: number): NoAnswer {
  const who = 'what stands in front of the portal'
  switch (status) {
    case 502:
    case 503:
    case 504:
      return new NoAnswer(`${who} cannot reach it just now (HTTP status ${status})`)
    case 408:
      return new NoAnswer(`${who} did not wait any longer for the request (HTTP status 408)`)
    case 413:
      return new NoAnswer(`${who} takes no request of this size (HTTP status 413): its limit has to be raised`, {
        isHopeless: true,
      })
    default:
      return new NoAnswer(`HTTP status ${status} from something that is not a portal`)
  }
}

async function readText(response: AnyResponse, stallMs: number): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of unstalled(response, stallMs)) {
    text += decoder.decode(bytes, { stream: true })
    if (text.length > answerBytesMax) throw new NoAnswer('the answer is too long')
  }
  return text + decoder.decode()
}

/**
 * The bytes of a body. The time that their reader takes does not count as silence.
 *
 * @throws NoAnswer when it breaks, or when nothing comes for `stallMs`
 */
export async function* unstalled(response: AnyResponse, stallMs: number): AsyncGenerator<Uint8Array> {
  let stalled = false
  const watch = () =>
    setTimeout(() => {
      stalled = true
      response.discard()
    }, stallMs)
  let watchdog = watch()
  try {
    for await (const bytes of response.body) {
      clearTimeout(watchdog)
      yield bytes
      watchdog = watch()
    }
  } catch (cause) {
    if (!stalled) throw new NoAnswer('the connection broke', { cause })
  } finally {
    clearTimeout(watchdog)
    response.discard()
  }
  if (stalled) throw new NoAnswer(`the answer stalled for ${stallMs} ms`)
}

/** Reads an answer without content to its end, so that its connection can be used again. */
export async function drain(response: AnyResponse, stallMs: number): Promise<void> {
  for await (const _ of unstalled(response, stallMs)) {
    // Whatever comes means nothing.
  }
}
