/** The small files beside a file in `sent` and `failed`. */
import { type ProblemJson, problemSentence } from '../protocol/index.ts'
import { receiptText } from '../trust/index.ts'
import type { RecordedEnd } from './batch-record.ts'
import type { Drop } from './batches.ts'
import type { Beside } from './shelf.ts'

export function notesOf(drop: Drop, end: RecordedEnd): Beside[] {
  return end.outcome === 'delivered' ? receiptsOf(end) : problemOf(drop, end)
}

/** `golooader verify FILE --receipt FILE.receipt.json` proves the delivery. With several receivers the name says whose receipt it is. */
function receiptsOf({ receipts }: RecordedEnd): Beside[] {
  return receipts.map((receipt) => ({
    suffix: receipts.length === 1 ? '.receipt.json' : `.${receipt.receiver}.receipt.json`,
    text: receiptText(receipt),
  }))
}

function problemOf({ name, batch }: Drop, end: RecordedEnd): Beside[] {
  const { outcome, transferId, at, failures = [], problem, receipts } = end
  const { to } = batch.header.how
  const lacking = outcome === 'failed' ? failures.map(({ receiver }) => receiver) : to
  const delivered = to.filter((receiver) => !lacking.includes(receiver))
  const said =
    problem === undefined
      ? failures.map(({ receiver, problem: one }) => `${receiver}: ${sentence(one)}`)
      : [sentence(problem)]
  const lines = [
    `${name} was not delivered to ${lacking.join(', ')}.`,
    '',
    ...said,
    ...delivered.map((receiver) => `${receiver} has it.`),
    '',
    ...(transferId === null ? [] : [`Transfer: ${transferId}`]),
    `Time: ${at}`,
    'To send it again, move the file back into the drop folder.',
  ]
  const json = {
    name,
    to,
    outcome,
    transferId,
    at,
    delivered,
    ...(problem === undefined ? { failures } : { problem }),
    receipts,
  }
  return [
    { suffix: '.problem.txt', text: `${lines.join('\n')}\n` },
    { suffix: '.problem.json', text: `${JSON.stringify(json, null, 2)}\n` },
  ]
}

function sentence(problem: ProblemJson): string {
  return `${problemSentence(problem)} (${problem.code})`
}
