/**
 * Fetches parts in ranges (RFC 9110 section 14) where the rate is limited. The system takes megabytes from the line for a connection whose
 * reader is slow, so that a limit of the reading alone would be exceeded again and again. It cannot take more than was asked for.
 *
 * The next range is asked for while one is read, so that a long round trip costs nothing.
 */
import { Readable } from 'node:stream'
import type { RateLimits } from './node-rate-limit.ts'
import { type HttpResponse, NoResponseError, type Transport } from './transport.ts'

type Response = HttpResponse<Readable>
type LinkTransport = Required<Pick<Transport<Readable>, 'request' | 'follow' | 'close'>>
/** Makes a request. @param range the field `Range`; null to ask for everything */
type Ask = (range: string | null) => Promise<Response>

/** Asks for a link to a part (PROTOCOL.md). */
const LINK_PREFERENCE = /, redirect$/
const WHOLE_STATUS = 200
const PARTIAL_STATUS = 206
/** For this time after a portal has answered with content, it is not asked for links. */
const NO_LINKS_MS = 10 * 60_000

/** A transport that fetches parts in ranges, from the portal and from its storage. */
export function withRanges(transport: LinkTransport, limits: RateLimits): Transport<Readable> {
  const { connectionsMax, offersMax } = limits
  const parts = new RangedParts(limits)
  return {
    connectionsMax,
    offersMax,
    request: (request) => {
      if (request.isPart !== true) return transport.request(request)
      const { prefer = '', ...headers } = request.headers
      const alone = prefer.replace(LINK_PREFERENCE, '')
      const ask: Ask = (range) =>
        transport.request(range === null ? request : { ...request, headers: { ...headers, prefer: alone, range } })
      return parts.fetch(ask, alone !== prefer)
    },
    follow: (link, bounds) => {
      return parts.fetch((range) => transport.follow(link, range === null ? bounds : { ...bounds, range }))
    },
    close: () => transport.close(),
  }
}

/** How one client fetches parts. */
class RangedParts {
  readonly #rangeBytes: number
  #linklessAtMs = Number.NEGATIVE_INFINITY

  constructor({ rangeBytes }: RateLimits) {
    this.#rangeBytes = rangeBytes
  }

  /**
   * An answer with the whole content, which is fetched in ranges while it is read. Any other answer comes as it is.
   *
   * @param wantsLink asks for a link, which a portal gives only for requests without a range
   */
  async fetch(ask: Ask, wantsLink = false): Promise<Response> {
    if (wantsLink && performance.now() - this.#linklessAtMs > NO_LINKS_MS) {
      const answer = await ask(null)
      if (answer.status !== WHOLE_STATUS) return answer
      answer.discard()
      this.#linklessAtMs = performance.now()
    }
    const first = await ask(this.#rangeAt(0))
    const lengthBytes = first.status === PARTIAL_STATUS ? lengthOf(first, 0) : null
    return lengthBytes === null ? first : this.#whole(first, lengthBytes, ask)
  }

  #rangeAt(startByte: number): string {
    return `bytes=${startByte}-${startByte + this.#rangeBytes - 1}`
  }

  #whole(first: Response, lengthBytes: number, ask: Ask): Response {
    // RFC 9530: the answer with a range has the digest of the whole in another field.
    const fields: Readonly<Record<string, string | null>> = {
      'content-length': String(lengthBytes),
      'content-digest': first.header('repr-digest'),
    }
    const body = Readable.from(this.#ranges(first, lengthBytes, ask))
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
  async *#ranges(first: Response, lengthBytes: number, ask: Ask): AsyncGenerator<Uint8Array> {
    let current = first
    let next: Promise<Response> | null = null
    try {
      for (let doneBytes = 0; ; current = await next) {
        const endByte = Math.min(doneBytes + this.#rangeBytes, lengthBytes)
        next = endByte < lengthBytes ? this.#next(first, endByte, lengthBytes, ask) : null
        for await (const bytes of current.body as AsyncIterable<Uint8Array>) {
          doneBytes += bytes.length
          yield bytes
        }
        if (doneBytes !== endByte) throw new NoResponseError('a range of the part has the wrong length')
        if (next === null) return
      }
    } finally {
      current.discard()
      next?.then(
        (response) => response.discard(),
        // The reader has given up already.
        () => {},
      )
    }
  }

  #next(first: Response, startByte: number, lengthBytes: number, ask: Ask): Promise<Response> {
    const asked = ask(this.#rangeAt(startByte)).then((response) => {
      const isSame = lengthOf(response, startByte) === lengthBytes && response.header('etag') === first.header('etag')
      if (response.status === PARTIAL_STATUS && isSame) return response
      response.discard()
      throw new NoResponseError(`HTTP status ${response.status} for the next range of the part`)
    })
    // It may fail before the reader waits for it.
    asked.catch(() => {})
    return asked
  }
}

/** The length of the content of which an answer has a range. @returns null when the range does not begin at this byte */
function lengthOf(response: Response, startByte: number): number | null {
  const [, start, length] = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.header('content-range') ?? '') ?? []
  return Number(start) === startByte && length !== undefined ? Number(length) : null
}
