/** Bodies and answers of batches. */
import {
  BatchAnswers,
  type Disposition,
  type DispositionResult,
  DispositionResults,
  type Notification,
  type ProblemJson,
} from '../protocol/index.ts'
import { RemoteProblem } from './answers.ts'
import type { CallOptions } from './calls.ts'
import { batchBody } from './framing.ts'
import type { PortalClient } from './portal-client.ts'
import { NoResponseError } from './transport.ts'

/** A small file as it travels in a batch. */
export interface BatchedFile {
  readonly transferId: string
  /** The result of `lineOf` for a `BatchedTransfer`. */
  readonly line: Uint8Array
  readonly content: Uint8Array
}

/** A receiver's answer about one transfer. */
export interface DispositionOf {
  readonly transferId: string
  readonly answer: Disposition
}

/** The portal's answer about one item of a batch. */
export type BatchResult<Value> = { readonly value: Value } | { readonly error: RemoteProblem | NoResponseError }

/** Sends small files in one request. A repeated batch gets the same answers. */
export async function sendBatch(
  client: PortalClient,
  files: readonly BatchedFile[],
  options?: CallOptions,
): Promise<BatchResult<Notification>[]> {
  const body = batchBody(files)
  const { answers } = await client.sendBytes('POST', '/v1/transfers/batch', BatchAnswers, body, options)
  return resultsOf(files, answers, (answer) => ('notification' in answer ? answer.notification : null))
}

/** Sends several dispositions in one request. A repetition gets the same answers. */
export async function sendDispositions(
  client: PortalClient,
  dispositions: readonly DispositionOf[],
  options?: CallOptions,
): Promise<BatchResult<DispositionResult>[]> {
  const body = new TextEncoder().encode(JSON.stringify({ dispositions }))
  const path = '/v1/inbox/dispositions'
  const { answers } = await client.sendBytes('POST', path, DispositionResults, body, options, 'application/json')
  return resultsOf(dispositions, answers, (answer) => ('state' in answer ? { state: answer.state } : null))
}

/** The portal's answers in the order of the items. An item that is missing in the answer gets an error. */
function resultsOf<Answer extends { readonly transferId: string; readonly problem?: ProblemJson }, Value>(
  items: readonly { readonly transferId: string }[],
  answers: readonly Answer[],
  read: (answer: Answer) => Value | null,
): BatchResult<Value>[] {
  return items.map(({ transferId }, index) => {
    const answer = answers[index]
    if (answer?.transferId === transferId) {
      if (answer.problem !== undefined) return { error: new RemoteProblem(answer.problem) }
      const value = read(answer)
      if (value !== null) return { value }
    }
    return { error: new NoResponseError('the portal did not answer for each item of a batch') }
  })
}
