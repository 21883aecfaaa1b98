/** The sentences of `send` about events and outcomes. */
import { isGuestName, type ProblemJson, problemSentence } from '../protocol/index.ts'
import type { SendEvent, SendOutcome } from '../sender/events.ts'
import type { FileProgress } from './send-progress.ts'
import { bytesText, durationText, localTime, printable, receiversText, treeText } from './text.ts'

/** A problem as text, with the reporter's own words. */
export function problemText(problem: ProblemJson): string {
  return printable(`${problemSentence(problem)} (${problem.code})`)
}

function sealText(isSealed: boolean): string {
  return isSealed ? 'sealed' : 'NOT SEALED: the portal can read it'
}

function receiptText({ receipt }: { readonly receipt?: string }): string {
  return receipt === undefined ? ' (says the portal: there is no receipt)' : ', receipt verified'
}

/** The size of a file; of a folder, how many files there are; of a stream, that it is not known. */
function sizeText({ sizeBytes, isSizeKnown, tree }: SendEvent & { readonly type: 'started' }): string {
  if (tree !== null) return treeText(tree)
  return isSizeKnown === false ? 'size not known yet' : bytesText(sizeBytes)
}

/** The line for an event; null for events without one. */
export function eventLine(event: SendEvent, file: FileProgress | null): string | null {
  const label = file?.label ?? ''
  switch (event.type) {
    case 'started':
      return event.isResumed
        ? `… ${label}: resuming transfer ${event.transferId}`
        : `… ${label}: ${sizeText(event)} to ${receiversText(event.to)}, ${sealText(event.isSealed)}, transfer ${event.transferId}`
    case 'left-out':
      return `! ${printable(event.path)} is left out: ${printable(event.reason)}`
    case 'repeating':
      return `↻ ${label}: ${problemText(event.problem)}. Sending the lost parts again`
    case 'smaller-parts':
      return `↻ ${label}: ${printable(event.reason)}. Sending it again in parts of ${bytesText(event.partSizeBytes)}`
    case 'link':
      return linkLine(event, file)
    case 'held-back':
      return `… ${event.reason}`
    case 'silence':
      return `… no answer from the portal (${printable(event.reason)}), trying again`
    case 'clock-off':
      return `! ${problemText(event.problem)}`
    case 'receipt-unkept':
      return (
        `… ${label}: the receipt of ${event.receiver} could not be kept here (${printable(event.reason)}). ` +
        `Fetch it again: golooader receipt ${event.transferId}`
      )
    case 'notification':
      return notificationLine(event.notification, file)
    case 'uploading':
    case 'sized':
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
      return `✔ ${label}: stored at the portal${took}, waiting for ${receiversText(file?.to ?? [])}`
    }
    case 'resend':
      return `↻ ${label}: the portal asks for it again: ${problemText(notification.problem)}`
    case 'refused':
      return `✘ ${label}: refused by the portal: ${problemText(notification.problem)}`
    case 'delivered':
      return `✔ ${label}: delivered to ${receiversText([notification.receiver])}: arrived, intact${receiptText(notification)}`
    case 'failed':
      return `✘ ${label}: not delivered to ${receiversText([notification.receiver])}: ${problemText(notification.problem)}`
  }
}

/** What the link is worth, below the link itself. */
function linkLine({ expiresAt }: SendEvent & { readonly type: 'link' }, file: FileProgress | null): string {
  const takes = file?.to.filter(isGuestName).length ?? 1
  const count = takes === 1 ? 'once' : `${takes} times, for one person each`
  return `  This link works ${count}, until ${localTime(expiresAt)}: anyone who has it can take the file, and signs for it.`
}

/** The option with which parts may get through that a proxy cut. */
function withParts({ partSizeBytes }: ProblemJson): string {
  return typeof partSizeBytes === 'number' ? `, with --part-size ${Math.floor(partSizeBytes / 1024)}KiB` : ''
}

/**
 * A line with explanation and advice for an outcome that no notification has explained.
 *
 * @param label what the lines before have called it; for what never started, its path
 * @param hasAccount whether `golooader status` can tell the result later
 */
export function outcomeLine(outcome: SendOutcome, label: string, hasAccount: boolean): string | null {
  switch (outcome.outcome) {
    case 'no-answer':
      if (outcome.problem?.code === 'stream-broken') {
        return (
          `✘ ${label}: ${problemText(outcome.problem)}: assume that it was not received.\n` +
          `  Nothing of it is kept at the portal. Run the whole pipeline again${withParts(outcome.problem)}.`
        )
      }
      if (outcome.problem !== undefined) {
        return (
          `✘ ${label}: ${problemText(outcome.problem)}: assume that it was not received.\n` +
          '  The portal was restored from a backup. Run the same command again: no receiver gets a second copy.'
        )
      }
      return (
        `✘ ${label}: no answer from the portal (${printable(outcome.reason)}): assume that it was not received.\n` +
        '  Run the same command again: it continues.'
      )
    case 'undelivered':
      return (
        `… ${label}: stored at the portal, but not yet taken by ${receiversText(outcome.waitingFor)}.\n` +
        `  The portal keeps trying.${hasAccount ? ` Look again with: golooader status ${outcome.transferId}` : ''}`
      )
    case 'stored':
      return hasAccount
        ? `  See the result later: golooader status ${outcome.transferId}`
        : '  Only a command that waits learns the result. Next time leave --no-wait out.'
    case 'refused':
      return outcome.transferId === null || outcome.problem.code.startsWith('source-')
        ? `✘ ${label}: ${problemText(outcome.problem)}`
        : null
    default:
      return null
  }
}
