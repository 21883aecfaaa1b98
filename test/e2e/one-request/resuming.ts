/**
 * A client of the IETF's resumable uploads that continues until it has the final answer, wherever the portal is by then. It checks what
 * every client may rely on: an offset that it was told never decreases, and is accepted.
 */
import { setTimeout } from 'node:timers/promises'
import { Exchange, type ExchangeAnswer, exchange } from '../../portal/uploads/exchange.ts'

const SLICE_BYTES = 256 * 1024
const PAUSE_MS = 50

export interface Resuming {
  /** Where the next request goes. */
  readonly url: () => string
  readonly token: string
  readonly content: Buffer
  /** Such as `bob/film`. */
  readonly to: string
  /** Pauses between slices of the content, so that a test can do something meanwhile. */
  readonly sliceMs: number
  /** Called after each slice. `toldBytes` is the offset that the portal told last. */
  readonly onSlice?: (sentBytes: number, toldBytes: number) => void
}

export interface Resumed {
  readonly answer: ExchangeAnswer
  /** The offsets at which it continued. */
  readonly offsets: readonly number[]
  /** All content that left, also what was lost. */
  readonly sentBytes: number
}

export async function uploadResuming(resuming: Resuming): Promise<Resumed> {
  const { content, token, to, sliceMs } = resuming
  const ask = (headers: Record<string, string> = {}) => ({ url: resuming.url(), token, headers })
  const offsets: number[] = []
  let told = 0
  let sentBytes = 0
  const created = await exchange(
    'POST',
    `/v1/to/${to}`,
    ask({ 'upload-complete': '?0', 'upload-length': `${content.length}` }),
  )
  const location = String(created.headers.location)

  /** The offset that the portal tells; null while there is no portal. */
  const offset = async (): Promise<number | null> => {
    const where = await exchange('HEAD', location, ask()).catch(() => null)
    if (where === null || where.status >= 500) return null
    if (where.status !== 204) throw new Error(`HEAD is answered ${where.status}`)
    return Number(where.headers['upload-offset'])
  }

  const noteTold = ({ interim }: Exchange): void => {
    told = Math.max(told, ...interim.map(({ headers }) => Number(headers['upload-offset'] ?? 0)))
  }

  /** Sends the rest. @returns the answer; null when the request broke, or has to be repeated */
  const append = async (from: number): Promise<ExchangeAnswer | null> => {
    const exchange = new Exchange(
      'PATCH',
      location,
      ask({
        'content-type': 'application/partial-upload',
        'content-length': `${content.length - from}`,
        'upload-draft-interop-version': '9',
        'upload-offset': `${from}`,
        'upload-complete': '?1',
      }),
    )
    let isOver = false
    const answer = exchange.answer.finally(() => {
      isOver = true
    })
    answer.catch(() => {})
    for (let at = from; at < content.length && !isOver; at += SLICE_BYTES) {
      const slice = content.subarray(at, at + SLICE_BYTES)
      await Promise.race([exchange.write(slice), answer.catch(() => {})])
      sentBytes += slice.length
      noteTold(exchange)
      resuming.onSlice?.(sentBytes, told)
      if (sliceMs > 0) await setTimeout(sliceMs)
    }
    const final = await exchange.end().catch(() => null)
    noteTold(exchange)
    return final === null || final.status >= 500 ? null : final
  }

  while (true) {
    const now = await offset()
    if (now === null) {
      await setTimeout(PAUSE_MS)
      continue
    }
    if (now < told) throw new Error(`the portal told ${told}, and tells ${now} now`)
    told = now
    offsets.push(now)
    const answer = await append(now)
    if (answer?.status === 409) throw new Error(`the portal told ${now}, and refuses it: ${answer.text}`)
    if (answer !== null) return { answer, offsets, sentBytes }
  }
}
