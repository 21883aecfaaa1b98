/** The views of `send`: live on a terminal, occasional plain lines elsewhere, or JSON for programs. */
import { isGuestName } from '../protocol/index.ts'
import type { SendEvent, SendOutcome } from '../sender/events.ts'
import { commandText, type OnCommand } from './exec-text.ts'
import type { StandardOutput } from './output.ts'
import { eventLine, outcomeLine } from './send-lines.ts'
import { type FileProgress, type ReceiverProgress, SendProgress } from './send-progress.ts'
import { canDraw, textFor, widthOf } from './terminal.ts'
import { bytesText, durationText, printable } from './text.ts'

export interface SendView {
  onEvent(event: SendEvent): void
  /** Shows how a command of `--exec` ended. */
  readonly onCommand: OnCommand
  /** Shows the end. Nothing may be shown after it. */
  end(outcomes: readonly SendOutcome[], exitCode: number): void
}

/** Where a view writes. */
export interface ViewOutput extends Pick<StandardOutput, 'stream' | 'line'> {
  /** Prints a link. By default it is a line like any other. */
  readonly link?: (text: string) => void
  /** Whether the sender has an account. True by default. */
  readonly hasAccount?: boolean
}

const LIVE_EVERY_MS = 100
const PLAIN_EVERY_MS = 5_000
const JSON_EVERY_MS = 500
const BAR_WIDTH = 24
/** On a narrower terminal only percentages are shown, because bars and figures would wrap. */
const WIDE_COLUMNS = 60
/** A longer path of a file in a folder loses its beginning. */
const PATH_SHOWN_MAX = 40
/** With more files at once, one line sums them up. */
const LIVE_FILES_MAX = 6

/**
 * Chooses the view for the output.
 *
 * @param isVerbose other lines appear in between, so a live block cannot be used
 * @param paths what is sent
 */
export async function chooseView(
  output: ViewOutput,
  isJson: boolean,
  isVerbose = false,
  paths: readonly string[] = [],
): Promise<SendView> {
  if (isJson) return jsonView(output)
  const progress = new SendProgress(paths)
  return canDraw(output.stream) && !isVerbose ? liveView(output, progress) : plainView(output, progress)
}

/** Silence of the portal is shown at once and then repeated at this interval. */
const SILENCE_EVERY_MS = 10_000

/** Makes the lines for people, and limits repeated lines about silence. */
class Narrator {
  #silenceToldAtMs = Number.NEGATIVE_INFINITY

  lineOf(event: SendEvent, file: FileProgress | null): string | null {
    if (event.type === 'silence') {
      if (performance.now() - this.#silenceToldAtMs < SILENCE_EVERY_MS) return null
      this.#silenceToldAtMs = performance.now()
    }
    return eventLine(event, file)
  }
}

/** Lines about events, with a block of live figures below them. */
async function liveView(output: ViewOutput, progress: SendProgress): Promise<SendView> {
  const narrator = new Narrator()
  // Loaded only for a terminal, because it takes a tenth of a command's start-up time.
  const { createLogUpdate } = await import('log-update')
  const block = createLogUpdate(output.stream)
  const draw = (): void => block(textFor(output.stream, liveText(progress, widthOf(output.stream))))
  const timer = setInterval(draw, LIVE_EVERY_MS)
  const say = (line: string | null): void => {
    if (line === null) return
    block.clear()
    output.line(line)
    draw()
  }
  return {
    onEvent(event) {
      const file = progress.apply(event)
      if (event.type === 'link') {
        block.clear()
        writeLink(output, event.link)
      }
      say(narrator.lineOf(event, file))
    },
    onCommand: (report, what) => say(commandText(report, what)),
    end(outcomes) {
      clearInterval(timer)
      block.clear()
      writeOutcomes(output, progress, outcomes)
      block.done()
    },
  }
}

/** A line for each event, and from time to time a line about progress. */
function plainView(output: ViewOutput, progress: SendProgress): SendView {
  const narrator = new Narrator()
  const shown = new Map<FileProgress, string>()
  const timer = setInterval(() => {
    for (const file of progress.files.values()) {
      const text = fileText(file).join('; ')
      if (!file.isOver && shown.get(file) !== text) output.line(`  ${file.label}: ${text}`)
      shown.set(file, text)
    }
  }, PLAIN_EVERY_MS)
  return {
    onEvent(event) {
      if (event.type === 'link') writeLink(output, event.link)
      writeLine(output, narrator.lineOf(event, progress.apply(event)))
    },
    onCommand: (report, what) => output.line(commandText(report, what)),
    end(outcomes) {
      clearInterval(timer)
      writeOutcomes(output, progress, outcomes)
    },
  }
}

/** One JSON object per line: `progress`, `notification`, and one `summary` at the end. */
function jsonView(output: ViewOutput): SendView {
  const progress = new SendProgress()
  const shownAtMs = new Map<string, number>()
  const write = (value: unknown): void => {
    output.line(JSON.stringify(value))
  }
  const isDue = (key: string): boolean => {
    const isNow = performance.now() - (shownAtMs.get(key) ?? Number.NEGATIVE_INFINITY) >= JSON_EVERY_MS
    if (isNow) shownAtMs.set(key, performance.now())
    return isNow
  }
  return {
    onEvent(event) {
      const file = progress.apply(event)
      switch (event.type) {
        case 'notification':
          write({ type: 'notification', ...event.notification })
          break
        case 'link':
          write(event)
          break
        case 'uploading': {
          const { type: _type, ...figures } = event
          if (isDue(event.transferId)) write({ type: 'progress', phase: 'uploading', ...figures, ...sizeOf(file) })
          break
        }
        case 'fetched': {
          const { type: _type, ...figures } = event
          if (isDue(`${event.transferId} ${event.receiver}`)) {
            write({ type: 'progress', phase: 'fetching', ...figures, ...sizeOf(file) })
          }
          break
        }
        default: {
          const { type: phase, ...rest } = event
          write({ type: 'progress', phase, ...rest })
        }
      }
    },
    onCommand: (report) => write(report),
    end(outcomes, exitCode) {
      write({ type: 'summary', exitCode, transfers: outcomes })
    },
  }
}

/** The size as programs get it: null while it is not known. */
function sizeOf(file: FileProgress | null): { sizeBytes?: number | null } {
  return file === null ? {} : { sizeBytes: file.isSizeKnown ? file.sizeBytes : null }
}

function writeLink(output: ViewOutput, link: string): void {
  if (output.link === undefined) output.line(link)
  else output.link(link)
}

function writeOutcomes(output: ViewOutput, progress: SendProgress, outcomes: readonly SendOutcome[]): void {
  const labels = new Map([...progress.files.values()].map(({ path, label }) => [path, label]))
  for (const outcome of outcomes) {
    const label = labels.get(outcome.path) ?? printable(outcome.path)
    writeLine(output, outcomeLine(outcome, label, output.hasAccount !== false))
  }
}

function writeLine(output: ViewOutput, line: string | null): void {
  if (line !== null) output.line(line)
}

function liveText(progress: SendProgress, columns: number): string {
  const isWide = columns >= WIDE_COLUMNS
  const open = [...progress.files.values()].filter((file) => !file.isOver)
  const shown = open.slice(0, LIVE_FILES_MAX)
  const lines = shown.flatMap((file) => {
    const texts = isWide
      ? [...fileText(file), ...pathText(file)].map((line) => `    ${line}`)
      : shortText(file).map((line) => ` ${line}`)
    return [isWide ? `  ${file.label}` : file.label, ...texts]
  })
  if (open.length > shown.length) lines.push(`  and ${open.length - shown.length} more`)
  return lines.join('\n')
}

/** The two hops of a file for a narrow terminal. */
function shortText(file: FileProgress): string[] {
  const { storedAtMs, acknowledgedBytes, sizeBytes, isSizeKnown } = file
  if (!isSizeKnown) return [`portal ${bytesText(acknowledgedBytes)} so far`]
  return [
    `portal ${percent(storedAtMs === null ? share(acknowledgedBytes, sizeBytes) : 1)}`,
    ...shownReceivers(file).map(([name, receiver]) => {
      const done = receiver.state === 'waiting' ? percent(share(receiver.fetchedBytes, sizeBytes)) : receiver.state
      return `${name} ${done}`
    }),
  ]
}

/** The two hops of a file, one line each. */
function fileText(file: FileProgress): string[] {
  return [firstHopText(file), ...secondHopText(file)]
}

function firstHopText(file: FileProgress): string {
  if (file.storedAtMs !== null) return `to the portal  ${bar(1)} stored`
  const { acknowledgedBytes, hashedBytes, sentBytes, sizeBytes, isSizeKnown } = file
  if (hashedBytes < acknowledgedBytes) {
    return `to the portal  ${bar(share(hashedBytes, sizeBytes))} hashing what the portal has already`
  }
  const rate = file.rate.bytesPerSecond
  const pace = rate === null ? '' : `  ${bytesText(rate)}/s`
  if (!isSizeKnown) return `to the portal  ${bytesText(acknowledgedBytes)} so far, size not known yet${pace}`
  const leftMs = rate === null || rate < 1 ? null : ((sizeBytes - acknowledgedBytes) / rate) * 1000
  const left = leftMs === null ? '' : `  ${durationText(leftMs)} left`
  // A folder tells how many files instead: both would not fit into a line.
  const isShown = file.tree === null && sentBytes > acknowledgedBytes
  const underWay = isShown ? ` (${bytesText(sentBytes - acknowledgedBytes)} on the way)` : ''
  const figures = `${filesText(file)}${bytesText(acknowledgedBytes)} of ${bytesText(sizeBytes)}${underWay}`
  return `to the portal  ${bar(share(acknowledgedBytes, sizeBytes))} ${figures}${pace}${left}`
}

/** Of a folder: how many of its files the portal holds. */
function filesText({ tree, underWay }: FileProgress): string {
  return tree === null || underWay === null ? '' : `${underWay.done} of ${tree.fileCount} files, `
}

/** The file of a folder that is being read, shortened at its beginning. */
function pathText({ underWay, storedAtMs }: FileProgress): string[] {
  if (underWay === null || storedAtMs !== null) return []
  return [pathLine(underWay.path)]
}

function pathLine(given: string): string {
  const path = printable(given)
  return `               ${path.length > PATH_SHOWN_MAX ? `…${path.slice(1 - PATH_SHOWN_MAX)}` : path}`
}

function secondHopText(file: FileProgress): string[] {
  return shownReceivers(file).flatMap(([name, receiver]) => {
    const line = `to ${name.padEnd(10)}  ${receiverText(receiver, file)}`
    // Before that the path of the first hop is shown.
    const isShown = receiver.state === 'waiting' && receiver.fetchedBytes > 0 && file.storedAtMs !== null
    return isShown && receiver.files !== null ? [line, pathLine(receiver.files.path)] : [line]
  })
}

/** The receivers by short names: a guest is the link, or one of its takes. */
function shownReceivers({ receivers }: FileProgress): [name: string, receiver: ReceiverProgress][] {
  const guests = [...receivers.keys()].filter(isGuestName)
  const linkName = (name: string): string => (guests.length === 1 ? 'the link' : `link ${guests.indexOf(name) + 1}`)
  return [...receivers].map(([name, receiver]) => [isGuestName(name) ? linkName(name) : name, receiver])
}

function receiverText(receiver: ReceiverProgress, { sizeBytes, isSizeKnown, tree }: FileProgress): string {
  switch (receiver.state) {
    case 'waiting': {
      const { fetchedBytes, files } = receiver
      const fileCount = tree === null || files === null ? '' : `${files.done} of ${tree.fileCount} files, `
      const what = fetchedBytes === 0 ? 'waiting' : `${fileCount}${bytesText(fetchedBytes)} fetched`
      return isSizeKnown ? `${bar(share(fetchedBytes, sizeBytes))} ${what}` : what
    }
    case 'delivered':
      return `${bar(1)} delivered`
    case 'failed':
      return `${bar(0)} failed`
  }
}

function share(done: number, whole: number): number {
  return whole === 0 ? 1 : Math.min(1, done / whole)
}

function bar(part: number): string {
  const filled = Math.round(part * BAR_WIDTH)
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${percent(part).padStart(4)}`
}

function percent(part: number): string {
  return `${Math.floor(part * 100)}%`
}
