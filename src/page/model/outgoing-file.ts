/** One file on its way out: what the sender tells of it, as people want to see it. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { Rate } from '../../client/index.ts'
import type { ProblemJson } from '../../protocol/index.ts'
import { Pause, type SendEvent, type SendOutcome } from '../../sender/index.ts'
import type { Hop, Picture } from './hops.ts'
import type { Failure, Outgoing, OutgoingProgress } from './types.ts'

/** What is known of one receiver. */
type ReceiverState =
  | { readonly state: 'waiting'; readonly fetchedBytes: number }
  | { readonly state: 'delivered'; readonly at: string; readonly isProven: boolean }
  | { readonly state: 'failed'; readonly at: string | null; readonly problem: ProblemJson }

/** What a file on its way out can ask of the list it is in. */
export interface OutgoingActions {
  /** Ends the transfer at the portal, as far as it has not ended. */
  cancel(file: OutgoingFile): Promise<void>
  /** Sends the same file once more; null where it is not at hand. */
  readonly again: ((file: OutgoingFile, to: readonly string[]) => void) | null
  dismiss(file: OutgoingFile): void
}

export interface AboutOutgoing {
  readonly key: number
  readonly name: string
  readonly sizeBytes: number
  readonly to: readonly string[]
  readonly isSealed: boolean
  /** Who sends. */
  readonly account: string
}

/** What moves of the first hop. */
interface Upload {
  readonly acknowledgedBytes: number
  readonly sentBytes: number
  readonly hashedBytes: number
}

export class OutgoingFile implements Outgoing {
  readonly key: number
  readonly name: string
  readonly sizeBytes: number
  readonly to: readonly string[]
  readonly isSealed: boolean
  readonly transferId: ReadonlySignal<string | null>
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<OutgoingProgress>
  readonly pauseOfSend = new Pause()
  readonly #actions: OutgoingActions
  readonly #stop = new AbortController()
  readonly #rate = new Rate()
  readonly #transferId = signal<string | null>(null)
  readonly #phase = signal<'queued' | 'reading' | 'sending' | 'silent'>('queued')
  readonly #silence = signal('')
  readonly #isPaused = signal(false)
  readonly #upload = signal<Upload>({ acknowledgedBytes: 0, sentBytes: 0, hashedBytes: 0 })
  readonly #storedAt = signal<string | null>(null)
  readonly #refusal = signal<{ readonly problem: ProblemJson; readonly at: string | null } | null>(null)
  readonly #receivers: Signal<ReadonlyMap<string, ReceiverState>>

  constructor({ key, name, sizeBytes, to, isSealed, account }: AboutOutgoing, actions: OutgoingActions) {
    this.key = key
    this.name = name
    this.sizeBytes = sizeBytes
    this.to = to
    this.isSealed = isSealed
    this.#actions = actions
    this.#receivers = signal(new Map(to.map((receiver) => [receiver, { state: 'waiting', fetchedBytes: 0 }] as const)))
    this.transferId = this.#transferId
    this.progress = computed(() => this.#progressNow())
    this.picture = computed(() => ({
      sender: account,
      first: this.#firstHop(),
      second: [...this.#receiversNow].map(([receiver, state]) => ({ receiver, hop: this.#secondHop(state) })),
    }))
  }

  /** Aborts when the file is not to be sent any more. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get isStored(): boolean {
    return this.#storedAt.value !== null
  }

  get canSendAgain(): boolean {
    return this.#actions.again !== null
  }

  /** Another tab has begun it. */
  begun(transferId: string): void {
    this.#transferId.value = transferId
  }

  pause(): void {
    this.#isPaused.value = true
    this.pauseOfSend.pause()
  }

  goOn(): void {
    this.#isPaused.value = false
    this.pauseOfSend.resume()
  }

  cancel(): void {
    void this.#actions.cancel(this)
  }

  sendAgain(): void {
    const lacking = [...this.#receiversNow].filter(([, { state }]) => state !== 'delivered').map(([name]) => name)
    this.#actions.again?.(this, lacking)
  }

  dismiss(): void {
    this.stop()
    this.#actions.dismiss(this)
  }

  stop(): void {
    this.#stop.abort(new Error('the file is not to be sent any more'))
  }

  /** Takes in what the sender tells. */
  apply(event: SendEvent): void {
    switch (event.type) {
      case 'started':
        this.#transferId.value = event.transferId
        this.#phase.value = event.isResumed ? 'reading' : 'sending'
        break
      case 'uploading':
        this.#uploading(event)
        break
      case 'fetched':
        this.#setReceiver(event.receiver, { state: 'waiting', fetchedBytes: event.fetchedBytes })
        break
      case 'notification':
        this.#notified(event.notification)
        break
      case 'silence':
        this.#silence.value = event.reason
        this.#phase.value = 'silent'
        break
    }
  }

  /** Takes in how it ended. */
  end(outcome: SendOutcome): void {
    switch (outcome.outcome) {
      case 'refused':
        this.refuse(outcome.problem)
        break
      case 'failed':
        for (const { receiver, problem } of outcome.failures) {
          const known = this.#receiversNow.get(receiver)
          if (known?.state === 'waiting') this.#setReceiver(receiver, { state: 'failed', at: null, problem })
        }
        break
    }
  }

  refuse(problem: ProblemJson): void {
    this.#refusal.value ??= { problem, at: null }
  }

  #uploading({ hashedBytes, sentBytes, acknowledgedBytes }: SendEvent & { type: 'uploading' }): void {
    this.#upload.value = { hashedBytes, sentBytes, acknowledgedBytes }
    this.#rate.add(acknowledgedBytes)
    // As long as nothing has left, what is read again is compared with what the portal has.
    const isReading = this.#phase.value === 'reading' && sentBytes === acknowledgedBytes
    this.#phase.value = isReading ? 'reading' : 'sending'
  }

  #notified(notification: (SendEvent & { type: 'notification' })['notification']): void {
    switch (notification.notification) {
      case 'stored':
        this.#storedAt.value = notification.at
        break
      case 'refused':
        this.#refusal.value = { problem: notification.problem, at: notification.at }
        break
      case 'delivered': {
        const isProven = notification.receipt !== undefined
        this.#setReceiver(notification.receiver, { state: 'delivered', at: notification.at, isProven })
        break
      }
      case 'failed': {
        const { at, problem } = notification
        this.#setReceiver(notification.receiver, { state: 'failed', at, problem })
        break
      }
    }
  }

  get #receiversNow(): ReadonlyMap<string, ReceiverState> {
    return this.#receivers.value
  }

  /** What has ended stays as it is: an older word about progress may come late. */
  #setReceiver(receiver: string, state: ReceiverState): void {
    const known = this.#receiversNow.get(receiver)
    if (known === undefined || (known.state !== 'waiting' && state.state === 'waiting')) return
    this.#receivers.value = new Map([...this.#receiversNow, [receiver, state]])
  }

  #progressNow(): OutgoingProgress {
    const refusal = this.#refusal.value
    if (refusal !== null) return { phase: 'refused', problem: refusal.problem }
    if (this.#storedAt.value !== null) return this.#afterStored()
    const { acknowledgedBytes, sentBytes, hashedBytes } = this.#upload.value
    if (this.#isPaused.value) return { phase: 'paused', acknowledgedBytes }
    switch (this.#phase.value) {
      case 'queued':
        return { phase: 'queued' }
      case 'reading':
        return { phase: 'reading', readBytes: hashedBytes }
      case 'silent':
        return { phase: 'silent', reason: this.#silence.value }
      case 'sending': {
        const { bytesPerSecond } = this.#rate
        const underwayBytes = Math.max(0, sentBytes - acknowledgedBytes)
        const leftMs = leftMsAt(bytesPerSecond, this.sizeBytes - acknowledgedBytes)
        return { phase: 'sending', acknowledgedBytes, underwayBytes, bytesPerSecond, leftMs }
      }
    }
  }

  #afterStored(): OutgoingProgress {
    const waitingFor: string[] = []
    const failures: Failure[] = []
    const proven: string[] = []
    for (const [receiver, state] of this.#receiversNow) {
      if (state.state === 'waiting') waitingFor.push(receiver)
      if (state.state === 'failed') failures.push({ receiver, problem: state.problem })
      if (state.state === 'delivered' && state.isProven) proven.push(receiver)
    }
    return waitingFor.length > 0 ? { phase: 'stored', waitingFor, failures } : { phase: 'ended', failures, proven }
  }

  #firstHop(): Hop {
    const refusal = this.#refusal.value
    const storedAt = this.#storedAt.value
    if (storedAt !== null) return { state: 'done', at: storedAt }
    if (refusal !== null) return { state: 'failed', problem: refusal.problem, at: refusal.at }
    const { sizeBytes } = this
    const doneBytes = this.#upload.value.acknowledgedBytes
    const isHeld = this.#isPaused.value || this.#phase.value === 'queued' || this.#phase.value === 'silent'
    return { state: isHeld ? 'held' : 'moving', doneBytes, sizeBytes }
  }

  #secondHop(receiver: ReceiverState): Hop {
    switch (receiver.state) {
      case 'delivered':
        return { state: 'done', at: receiver.at }
      case 'failed':
        return { state: 'failed', problem: receiver.problem, at: receiver.at }
      case 'waiting': {
        const { fetchedBytes: doneBytes } = receiver
        if (doneBytes === 0) return this.#storedAt.value === null ? { state: 'ahead' } : this.#waiting(0)
        return { state: 'moving', doneBytes, sizeBytes: this.sizeBytes }
      }
    }
  }

  #waiting(doneBytes: number): Hop {
    return { state: 'held', doneBytes, sizeBytes: this.sizeBytes }
  }
}

/** How long the rest takes at a pace; null where nobody can tell. */
export function leftMsAt(bytesPerSecond: number | null, restBytes: number): number | null {
  return bytesPerSecond === null || bytesPerSecond < 1 ? null : (restBytes / bytesPerSecond) * 1000
}
