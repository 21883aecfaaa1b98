/** The sentences in which `send` tells what happened. */
import { type ProblemJson, problemSentence } from '../protocol/index.ts'
import type { SendEvent, SendOutcome } from '../sender/events.ts'
import type { FileProgress } from './send-progress.ts'
import { bytesText, durationText, listText, printable } from './text.ts'

/** A problem in the words of the one who had it. */
export function problemText(problem: ProblemJson): string {
  return printable(`${problemSentence(problem)} (${problem.code})`)
}

function sealText(isSealed: boolean): string {
  return isSealed ? 'sealed' : 'NOT SEALED: the portal can read it'
}

function receiptText({ receipt }: { readonly receipt?: string }): string {
  return receipt === undefined ? ' (says the portal: there is no receipt)' : ', receipt verified'
}

/** The line for an event, or null where it is none that people read. */
export function eventLine(event: SendEvent, file: FileProgress | null): string | null {
  const label = file?.label ?? ''
  switch (event.type) {
    case 'started':
      return event.isResumed
        ? `… ${label}: going on with transfer ${event.transferId}`
        : `… ${label}: ${bytesText(event.sizeBytes)} to ${listText(event.to)}, ${sealText(event.isSealed)}, transfer ${event.transferId}`
    case 'repeating':
      return `↻ ${label}: ${problemText(event.problem)}. Sending again what was lost`
    case 'silence':
      return `… no answer from the portal (${printable(event.reason)}), trying again`
    case 'receipt-unkept':
      return (
        `… ${label}: the receipt of ${event.receiver} could not be kept here (${printable(event.reason)}). ` +
        `Fetch it again: golooader receipt ${event.transferId}`
      )
    case 'notification':
      return notificationLine(event.notification, file)
    case 'uploading':
    case 'fetched':
      return null
  }
}

function notificationLine(
  notification: (SendEvent & { type: 'notification' })['notification'],
  file: FileProgress | null,
): string {
  const label = file?.label ?? notification.transferId
  switch (notification.notification) {
    case 'stored': {
      const took = file === null ? '' : ` in ${durationText(performance.now() - file.startedAtMs)}`
      return `✔ ${label}: stored at the portal${took}, waiting for ${listText(file?.to ?? [])}`
    }
    case 'resend':
      return `↻ ${label}: the portal wants it again: ${problemText(notification.problem)}`
    case 'refused':
      return `✘ ${label}: refused by the portal: ${problemText(notification.problem)}`
    case 'delivered':
      return `✔ ${label}: delivered to ${notification.receiver}: arrived, intact${receiptText(notification)}`
    case 'failed':
      return `✘ ${label}: not delivered to ${notification.receiver}: ${problemText(notification.problem)}`
  }
}

/** What to know, and to do next, about an outcome that no notification explained. */
export function outcomeLine(outcome: SendOutcome): string | null {
  const label = printable(outcome.path)
  switch (outcome.outcome) {
    case 'no-answer':
      return (
        `✘ ${label}: no answer from the portal (${printable(outcome.reason)}): assume that it was not received.\n` +
        '  Run the same command again: it goes on where this one stopped.'
      )
    case 'undelivered':
      return (
        `… ${label}: stored at the portal, but not yet taken by ${listText(outcome.waitingFor)}.\n` +
        `  The portal goes on trying. Look again with: golooader status ${outcome.transferId}`
      )
    case 'stored':
      return `  See later what became of it: golooader status ${outcome.transferId}`
    case 'refused':
      return outcome.transferId === null || outcome.problem.code === 'source-changed'
        ? `✘ ${label}: ${problemText(outcome.problem)}`
        : null
    default:
      return null
  }
}
