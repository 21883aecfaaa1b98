/** How `send` shows what happens: live on a terminal, slow plain lines elsewhere, or JSON for programs. */
import type { SendEvent, SendOutcome } from '../sender/events.ts'
import { eventLine, outcomeLine } from './send-lines.ts'
import { type FileProgress, type ReceiverProgress, SendProgress } from './send-progress.ts'
import { bytesText, durationText } from './text.ts'

export interface SendView {
  onEvent(event: SendEvent): void
  /** The last words. Nothing may be shown after it. */
  end(outcomes: readonly SendOutcome[], exitCode: number): void
}

type Output = NodeJS.WriteStream

const LIVE_EVERY_MS = 100
const PLAIN_EVERY_MS = 5_000
const JSON_EVERY_MS = 500
const BAR_WIDTH = 24
/** More files than this at once are summed up in one line. */
const LIVE_FILES_MAX = 6

/** The view that suits the output. */
export async function chooseView(output: Output, isJson: boolean): Promise<SendView> {
  if (isJson) return jsonView(output)
  return output.isTTY ? liveView(output) : plainView(output)
}

/** Silence is told at once, and then now and then: it may last. */
const SILENCE_EVERY_MS = 10_000

/** The lines that people are told; of a silence that goes on, only now and then one. */
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

/** A block of live figures below, lines of what happened above. */
async function liveView(output: Output): Promise<SendView> {
  const progress = new SendProgress()
  const narrator = new Narrator()
  // Loaded where there is a terminal to draw on: it takes a tenth of the time that a command needs to start.
  const { createLogUpdate } = await import('log-update')
  const block = createLogUpdate(output)
  const draw = (): void => block(liveText(progress))
  const timer = setInterval(draw, LIVE_EVERY_MS)
  const say = (line: string | null): void => {
    if (line === null) return
    block.clear()
    output.write(`${line}\n`)
    draw()
  }
  return {
    onEvent(event) {
      const file = progress.apply(event)
      say(narrator.lineOf(event, file))
    },
    end(outcomes) {
      clearInterval(timer)
      block.clear()
      for (const outcome of outcomes) writeLine(output, outcomeLine(outcome))
      block.done()
    },
  }
}

/** A line when something happened, and a slow one while nothing does. */
function plainView(output: Output): SendView {
  const progress = new SendProgress()
  const narrator = new Narrator()
  const timer = setInterval(() => {
    for (const file of progress.files.values()) {
      if (!file.isOver) output.write(`  ${file.label}: ${fileText(file).join('; ')}\n`)
    }
  }, PLAIN_EVERY_MS)
  return {
    onEvent(event) {
      writeLine(output, narrator.lineOf(event, progress.apply(event)))
    },
    end(outcomes) {
      clearInterval(timer)
      for (const outcome of outcomes) writeLine(output, outcomeLine(outcome))
    },
  }
}

/** One object a line: `progress`, `notification`, and one `summary` at the end. */
function jsonView(output: Output): SendView {
  const progress = new SendProgress()
  const shownAtMs = new Map<string, number>()
  const write = (value: unknown): void => {
    output.write(`${JSON.stringify(value)}\n`)
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
        case 'uploading': {
          const { type: _type, ...figures } = event
          if (isDue(event.transferId))
            write({ type: 'progress', phase: 'uploading', ...figures, sizeBytes: file?.sizeBytes })
          break
        }
        case 'fetched': {
          const { type: _type, ...figures } = event
          if (isDue(`${event.transferId} ${event.receiver}`)) {
            write({ type: 'progress', phase: 'fetching', ...figures, sizeBytes: file?.sizeBytes })
          }
          break
        }
        default: {
          const { type: phase, ...rest } = event
          write({ type: 'progress', phase, ...rest })
        }
      }
    },
    end(outcomes, exitCode) {
      write({ type: 'summary', exitCode, transfers: outcomes })
    },
  }
}

function writeLine(output: Output, line: string | null): void {
  if (line !== null) output.write(`${line}\n`)
}

function liveText(progress: SendProgress): string {
  const open = [...progress.files.values()].filter((file) => !file.isOver)
  const shown = open.slice(0, LIVE_FILES_MAX)
  const lines = shown.flatMap((file) => [`  ${file.label}`, ...fileText(file).map((line) => `    ${line}`)])
  if (open.length > shown.length) lines.push(`  and ${open.length - shown.length} more`)
  return lines.join('\n')
}

/** The two hops of a file, a line for each. */
function fileText(file: FileProgress): string[] {
  return [firstHopText(file), ...secondHopText(file)]
}

function firstHopText(file: FileProgress): string {
  if (file.storedAtMs !== null) return `to the portal  ${bar(1)} stored`
  const { acknowledgedBytes, hashedBytes, sentBytes, sizeBytes } = file
  if (hashedBytes < acknowledgedBytes) {
    return `to the portal  ${bar(share(hashedBytes, sizeBytes))} hashing what the portal has already`
  }
  const rate = file.rate.bytesPerSecond
  const pace = rate === null ? '' : `  ${bytesText(rate)}/s`
  const leftMs = rate === null || rate < 1 ? null : ((sizeBytes - acknowledgedBytes) / rate) * 1000
  const left = leftMs === null ? '' : `  ${durationText(leftMs)} left`
  const underWay = sentBytes > acknowledgedBytes ? ` (${bytesText(sentBytes - acknowledgedBytes)} on the way)` : ''
  const figures = `${bytesText(acknowledgedBytes)} of ${bytesText(sizeBytes)}${underWay}`
  return `to the portal  ${bar(share(acknowledgedBytes, sizeBytes))} ${figures}${pace}${left}`
}

function secondHopText(file: FileProgress): string[] {
  return [...file.receivers].map(
    ([name, receiver]) => `to ${name.padEnd(10)}  ${receiverText(receiver, file.sizeBytes)}`,
  )
}

function receiverText(receiver: ReceiverProgress, sizeBytes: number): string {
  switch (receiver.state) {
    case 'waiting': {
      const { fetchedBytes } = receiver
      const what = fetchedBytes === 0 ? 'waiting' : `${bytesText(fetchedBytes)} fetched`
      return `${bar(share(fetchedBytes, sizeBytes))} ${what}`
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
  return `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${String(Math.floor(part * 100)).padStart(3)}%`
}
