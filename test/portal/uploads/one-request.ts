/** Sends a file in one request, as slowly as a test wants. */
import { type ClientRequest, type IncomingHttpHeaders, request } from 'node:http'
import { join } from 'node:path'
import { partsIn } from '../../e2e/harness/world.ts'
import type { TestPortal } from '../portal.ts'

export const MIB = 1024 * 1024

export interface OneAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The lines of the answer, without empty ones. */
  readonly lines: readonly string[]
}

/** A request that is under way. */
export class OneRequest {
  readonly answer: Promise<OneAnswer>
  /** Whether the portal has asked for the body. */
  isAskedFor = false
  readonly #request: ClientRequest

  constructor(outgoing: ClientRequest) {
    this.#request = outgoing
    outgoing.on('continue', () => {
      this.isAskedFor = true
    })
    this.answer = new Promise((resolve, reject) => {
      outgoing.on('error', reject)
      outgoing.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (some) => {
          text += some
        })
        response.on('error', reject)
        response.on('end', () => {
          const lines = text.split('\n').filter((line) => line !== '')
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, lines })
        })
      })
    })
    // The test checks the answer later or not at all, so a failure must not count as unhandled.
    this.answer.catch(() => {})
  }

  /** Resolves when the bytes have left. */
  write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#request.write(bytes, () => resolve())
    })
  }

  end(bytes?: Buffer): Promise<OneAnswer> {
    this.#request.end(bytes)
    return this.answer
  }

  /** Sends the head alone. */
  begin(): this {
    this.#request.flushHeaders()
    return this
  }

  breakOff(): void {
    this.#request.destroy()
  }
}

export interface Sending {
  readonly from?: string
  readonly token?: string
  readonly method?: string
  /** null sends a body of unknown length. */
  readonly lengthBytes?: number | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Begins to send to `/v1/to/PATH`. */
export function oneRequest(portal: TestPortal, path: string, sending: Sending = {}): OneRequest {
  const { from = 'alice', token = portal.token(from), method = 'PUT', lengthBytes = null, headers = {} } = sending
  return new OneRequest(
    request(`${portal.url}/v1/to/${path}`, {
      method,
      agent: false,
      headers: {
        authorization: `Bearer ${token}`,
        prefer: 'wait=0',
        ...(lengthBytes === null ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(lengthBytes) }),
        ...headers,
      },
    }),
  )
}

/** Sends the whole file. */
export function sendWhole(
  portal: TestPortal,
  path: string,
  content: Buffer,
  sending: Sending = {},
): Promise<OneAnswer> {
  return oneRequest(portal, path, { lengthBytes: content.length, ...sending }).end(content)
}

/** The names of all files in the store. */
export function storedFiles(portal: TestPortal): Promise<string[]> {
  return partsIn(join(portal.dataFolder, 'store'))
}

/** The transferId that a text answer contains. */
export function transferIdIn({ lines }: OneAnswer): string {
  return /^stored (\S+) /.exec(lines[0] ?? '')?.[1] ?? ''
}
