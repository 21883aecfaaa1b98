/** A receiver of webhooks in another language, as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { type EventEmitter, once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import { programPath, requireServer } from './install.ts'

/** A request as the receiver saw it. */
export interface Received {
  readonly id: string
  readonly path: string
  readonly contentType: string
  /** Why its signature is not valid; null when it is. */
  readonly fault: string | null
  readonly body: {
    readonly type: string
    readonly timestamp: string
    readonly data: Readonly<Record<string, unknown>> & { readonly transferId: string; readonly notification: string }
  }
  readonly answer: string
  readonly status: number
}

export class Receiver {
  readonly url: string
  readonly port: number
  readonly #child: ChildProcess
  readonly #received: Received[]
  readonly #lines: EventEmitter
  #changed = Promise.withResolvers<void>()

  private constructor(child: ChildProcess, lines: EventEmitter, port: number, received: Received[]) {
    this.#child = child
    this.#lines = lines
    this.port = port
    this.url = `http://127.0.0.1:${port}/hook`
    this.#received = received
  }

  /** @param port of an earlier one that has ended; 0 for a free one */
  static async start(secret: string, port = 0): Promise<Receiver> {
    await requireServer('python')
    const script = join(import.meta.dirname, 'webhook-receiver.py')
    const child = spawn(programPath('python3'), [script, secret, String(port)], { stdio: ['pipe', 'pipe', 'inherit'] })
    onTestFinished(() => void child.kill('SIGKILL'))
    const lines = createInterface({ input: child.stdout })
    const listening = Promise.withResolvers<number>()
    const received: Received[] = []
    lines.on('line', (line) => {
      if (/^\d+$/.test(line)) return listening.resolve(Number(line))
      if (line === 'answering') return void lines.emit(line)
      received.push(JSON.parse(line))
      lines.emit('received')
    })
    child.once('exit', () => listening.reject(new Error('the receiver has ended')))
    const receiver = new Receiver(child, lines, await listening.promise, received)
    lines.on('received', () => receiver.#changed.resolve())
    return receiver
  }

  /** All requests so far. */
  get received(): readonly Received[] {
    return this.#received
  }

  /** Says how it answers from now on: see `receiver.py`. */
  async answer(how: string): Promise<void> {
    const confirmed = once(this.#lines, 'answering')
    this.#child.stdin?.write(`answer ${how}\n`)
    await confirmed
  }

  /** Resolves with all requests once they are as wanted. */
  async until(isEnough: (received: readonly Received[]) => boolean): Promise<readonly Received[]> {
    while (!isEnough(this.#received)) {
      this.#changed = Promise.withResolvers()
      if (isEnough(this.#received)) break
      await this.#changed.promise
    }
    return this.#received
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}
