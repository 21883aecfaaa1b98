/** Paths of requests, as the client writes them. */
import type { InboxQuestion } from './calls.ts'

export function eventsPath(transferId: string | undefined): string {
  return transferId === undefined ? '/v1/events' : `/v1/transfers/${transferId}/events`
}

/** @param open for a held answer: the transfers whose offers are being worked on */
export function inboxPath(question: InboxQuestion, open?: readonly string[]): string {
  const { instanceId, processId, window, isInline = true, contentBytesMax, areStreamsWanted = false } = question
  const content = isInline ? { content: 'inline', contentBytes: contentBytesMax } : {}
  const streams = areStreamsWanted ? { streams: 'early' } : {}
  const asked = { instance: instanceId, process: processId, window, ...content, ...streams }
  return `/v1/inbox${query({ ...asked, open: open?.join(',') })}`
}

export function query(values: Record<string, string | number | undefined>): string {
  const given = Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, String(value)] as [string, string]],
  )
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`
}
