/** A client that sends one request, as slowly and as carelessly as a test wants. It shows interim answers. */
import { type IncomingHttpHeaders, request } from 'node:http'

/** A final or an interim answer. */
export interface ExchangeAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** The lines of the text, without empty ones. */
  readonly lines: readonly string[]
  /** The interim answers before it. */
  readonly interim: readonly { readonly status: number; readonly headers: IncomingHttpHeaders }[]
}

export interface Asking {
  readonly url: string
  readonly token: string
  readonly headers?: Readonly<Record<string, string>>
}

/** A request that is under way. */
export class Exchange {
  readonly answer: Promise<ExchangeAnswer>
  /** Resolves when the portal asks for the content. */
  readonly continued: Promise<void>
  /** Whether the portal has asked for the content. */
  isAskedFor = false
  readonly interim: { status: number; headers: IncomingHttpHeaders }[] = []
  readonly #request: ReturnType<typeof request>
  #onInterim = (): void => {}

  constructor(method: string, path: string, { url, token, headers = {} }: Asking) {
    this.#request = request(new URL(path, url), {
      method,
      agent: false,
      headers: { authorization: `Bearer ${token}`, ...headers },
    })
    this.continued = new Promise((resolve) => this.#request.once('continue', resolve))
    this.#request.once('continue', () => {
      this.isAskedFor = true
    })
    this.#request.on('information', ({ statusCode, headers }) => {
      this.interim.push({ status: statusCode, headers })
      this.#onInterim()
    })
    this.answer = new Promise((resolve, reject) => {
      this.#request.on('error', reject)
      this.#request.on('response', (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (some) => {
          text += some
        })
        response.on('error', reject)
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response
          resolve({ status, headers, text, lines: linesOf(text), interim: this.interim })
        })
      })
    })
    // The test checks the answer later or not at all, so a failure must not count as unhandled.
    this.answer.catch(() => {})
  }

  /** Sends the head alone. */
  flush(): this {
    this.#request.flushHeaders()
    return this
  }

  /** Resolves when the bytes have left. */
  write(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      this.#request.write(bytes, () => resolve())
    })
  }

  end(bytes?: Buffer): Promise<ExchangeAnswer> {
    this.#request.end(bytes)
    return this.answer
  }

  /** Breaks the connection. */
  cut(): void {
    this.#request.destroy()
  }

  /** Resolves with the first interim answer that has the field. */
  async told(field: string): Promise<string> {
    while (true) {
      const found = this.interim.find(({ headers }) => headers[field] !== undefined)
      if (found !== undefined) return String(found.headers[field])
      await new Promise<void>((resolve, reject) => {
        this.#onInterim = resolve
        this.answer.then(() => reject(new Error(`answered without ${field}`)), reject)
      })
    }
  }
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '')
}

/** Makes one request. */
export function exchange(method: string, path: string, ask: Asking, body?: Buffer): Promise<ExchangeAnswer> {
  return new Exchange(method, path, ask).end(body)
}
