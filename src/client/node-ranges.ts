/**
 * Fetches parts in ranges (RFC 9110 section 14) where the rate is limited. The system takes megabytes from the line for a connection whose
 * reader is slow, so that a limit of the reading alone would be exceeded again and again. It cannot take more than was asked for.
 *
 * Each range is paid for before it is asked for, so that all parts together ask no faster than the limit. The next range is asked for while
 * one is read, so that a long round trip costs nothing.
 */
import { Readable } from 'node:stream'
import type { RateLimit, RateLimits } from './node-rate-limit.ts'
import { type HttpResponse, NoResponseError, type Transport } from './transport.ts'

type Response = HttpResponse<Readable>
type LinkTransport = Required<Pick<Transport<Readable>, 'request' | 'follow' | 'close'>>
/** Makes a request. @param range the field `Range` */
type Ask = (range: string) => Promise<Response>

/** Asks for a link to a part (PROTOCOL.md). */
const LINK_PREFERENCE = /, redirect$/
const WHOLE_STATUS = 200
const PARTIAL_STATUS = 206

/** A transport that fetches parts in ranges, from the portal and from its storage. */
export function withRanges(transport: LinkTransport, limits: RateLimits): Transport<Readable> {
  const parts = new RangedParts(limits)
  return {
    rateBounds: limits,
    request: (request) => {
      const { headers, partBytesMax } = request
      if (partBytesMax === undefined) return transport.request(request)
      const prefer = headers.prefer?.replace(LINK_PREFERENCE, '') ?? ''
      return parts.fetch(
        // A portal may answer with a link.
        (range) => transport.request({ ...request, headers: { ...headers, range } }),
        (range) => transport.request({ ...request, headers: { ...headers, prefer, range } }),
        partBytesMax,
      )
    },
    follow: (link, bounds) => {
      const ask: Ask = (range) => transport.follow(link, { ...bounds, range })
      return parts.fetch(ask, ask)
    },
    close: () => transport.close(),
  }
}

/** How one client fetches parts. */
class RangedParts {
  readonly #received: RateLimit
  readonly #rangeBytes: number

  constructor({ received, rangeBytes }: RateLimits) {
    this.#received = received
    this.#rangeBytes = rangeBytes
  }

  /**
   * An answer with the whole content, which is fetched in ranges while it is read. Any other answer comes as it is.
   *
   * @param askFirst asks for the first range
   * @param askNext asks for each further one
   */
  async fetch(askFirst: Ask, askNext: Ask, partBytesMax = Number.POSITIVE_INFINITY): Promise<Response> {
    const askedBytes = Math.min(this.#rangeBytes, partBytesMax)
    const first = await this.#ask(askFirst, 0, askedBytes)
    const lengthBytes = first.status === PARTIAL_STATUS ? lengthOf(first, 0) : null
    this.#received.release(askedBytes - Math.min(askedBytes, lengthBytes ?? 0))
    return lengthBytes === null ? first : this.#whole(first, Math.min(askedBytes, lengthBytes), lengthBytes, askNext)
  }

  async #ask(ask: Ask, startByte: number, byteCount: number): Promise<Response> {
    await this.#received.reserve(byteCount)
    try {
      return await ask(`bytes=${startByte}-${startByte + byteCount - 1}`)
    } catch (error) {
      this.#received.release(byteCount)
      throw error
    }
  }

  #whole(first: Response, firstBytes: number, lengthBytes: number, ask: Ask): Response {
    // RFC 9530: the answer with a range has the digest of the whole in another field.
    const fields: Readonly<Record<string, string | null>> = {
      'content-length': String(lengthBytes),
      'content-digest': first.header('repr-digest'),
    }
    const reading: Reading = { current: first, leftBytes: firstBytes }
    const body = Readable.from(this.#ranges(reading, lengthBytes, ask))
    body.once('close', () => {
      reading.current.discard()
      this.#received.release(reading.leftBytes)
    })
    return {
      status: WHOLE_STATUS,
      header: (name) => (Object.hasOwn(fields, name) ? (fields[name] ?? null) : first.header(name)),
      body,
      discard: () => {
        body.on('error', () => {})
        body.destroy()
      },
    }
  }

  /** @throws NoResponseError when a range does not come, or belongs to other content */
  async *#ranges(reading: Reading, lengthBytes: number, ask: Ask): AsyncGenerator<Uint8Array> {
    const first = reading.current
    let next: Promise<Response> | null = null
    let nextBytes = 0
    try {
      for (let endByte = reading.leftBytes; ; endByte += nextBytes) {
        nextBytes = Math.min(this.#rangeBytes, lengthBytes - endByte)
        next = nextBytes > 0 ? this.#next(first, endByte, nextBytes, lengthBytes, ask) : null
        for await (const bytes of reading.current.body as AsyncIterable<Uint8Array>) {
          reading.leftBytes -= bytes.length
          yield bytes
        }
        if (reading.leftBytes !== 0) throw new NoResponseError('a range of the part has the wrong length')
        if (next === null) return
        reading.current = await next
        reading.leftBytes = nextBytes
        next = null
      }
    } finally {
      next?.then(
        (response) => {
          response.discard()
          this.#received.release(nextBytes)
        },
        // The reader has given up already.
        () => {},
      )
    }
  }

  #next(first: Response, startByte: number, byteCount: number, lengthBytes: number, ask: Ask): Promise<Response> {
    const asked = this.#ask(ask, startByte, byteCount).then((response) => {
      const isSame = lengthOf(response, startByte) === lengthBytes && response.header('etag') === first.header('etag')
      if (response.status === PARTIAL_STATUS && isSame) return response
      response.discard()
      this.#received.release(byteCount)
      throw new NoResponseError(`HTTP status ${response.status} for the next range of the part`)
    })
    // It may fail before the reader waits for it.
    asked.catch(() => {})
    return asked
  }
}

/** A part that is being read. */
interface Reading {
  /** The answer with the range that is read, and how much of it is still to come. */
  current: Response
  leftBytes: number
}

/** The length of the content of which an answer has a range. @returns null when the range does not begin at this byte */
function lengthOf(response: Response, startByte: number): number | null {
  const [, start, length] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.header('content-range') ?? '') ?? []
  return Number(start) === startByte && length !== undefined ? Number(length) : null
}
