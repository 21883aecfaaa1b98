/**
 * Tells systemd that a service is ready, what it does, and that its event loop turns. sd_notify(3)
 *
 * Node has no datagram sockets of the kind AF_UNIX, so the program systemd-notify, which belongs to systemd, sends each message. A
 * message costs a process, so there is one at a time, and what happens meanwhile travels together in the next one.
 */
import { spawn } from 'node:child_process'
import { timerMs } from '../../protocol/index.ts'
import { sayError } from '../output.ts'
import type { Supervisor } from './supervisor.ts'

/** Between two messages. Small files arrive faster than anyone reads. */
const MESSAGE_EVERY_MS = 1_000

export class SystemdNotifier implements Supervisor {
  readonly #socket: string
  readonly #pending = new Map<string, string>()
  #isBusy = false
  #isMissing = false

  /** @param watchdogMs silence after which systemd kills the service; null where it does not watch */
  constructor(socket: string, watchdogMs: number | null) {
    this.#socket = socket
    process.once('SIGTERM', () => this.#tell('STOPPING', '1'))
    // Three in the time: a machine under load may be late with one.
    if (watchdogMs !== null) setInterval(() => this.#tell('WATCHDOG', '1'), timerMs(watchdogMs / 3)).unref()
  }

  ready(): void {
    this.#tell('READY', '1')
  }

  status(text: string): void {
    this.#tell('STATUS', text.replaceAll(/\s+/g, ' '))
  }

  #tell(name: string, value: string): void {
    this.#pending.set(name, value)
    if (!this.#isBusy) this.#send()
  }

  #send(): void {
    const words = [...this.#pending].map(([name, value]) => `${name}=${value}`)
    this.#pending.clear()
    this.#isBusy = true
    const child = spawn('systemd-notify', words, {
      stdio: 'ignore',
      env: { PATH: process.env.PATH, NOTIFY_SOCKET: this.#socket },
    })
    // It does not keep a service alive that has ended.
    child.unref()
    child.once('error', (error) => this.#complain(error.message))
    child.once('close', () => {
      setTimeout(() => {
        this.#isBusy = false
        if (this.#pending.size > 0) this.#send()
      }, timerMs(MESSAGE_EVERY_MS)).unref()
    })
  }

  #complain(reason: string): void {
    if (!this.#isMissing) sayError(`golooader: warning: systemd hears nothing of this service: ${reason}`)
    this.#isMissing = true
  }
}
