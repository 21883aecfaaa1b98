/** One outgoing file or folder: turns the sender's events into what the page shows. */
import { computed, type ReadonlySignal, type Signal, signal } from '@preact/signals'
import { Rate } from '../../client/index.ts'
import type { ProblemJson, TreeSize } from '../../protocol/index.ts'
import { Pause, type SendEvent, type SendOutcome } from '../../sender/index.ts'
import type { Hop, Picture } from './hops.ts'
import { leftMsAt } from './time-left.ts'
import type { DeliveryFailure, Outgoing, OutgoingProgress, ShownContent } from './types.ts'

/** The state of one receiver. */
type ReceiverState =
  | { readonly state: 'waiting'; readonly fetchedBytes: number }
  | { readonly state: 'delivered'; readonly at: string; readonly isProven: boolean }
  | { readonly state: 'failed'; readonly at: string | null; readonly problem: ProblemJson }

/** Actions of the list that an outgoing file calls. */
export interface OutgoingActions {
  /** Cancels the transfer at the portal, for the receivers that do not have it yet. */
  cancel(file: OutgoingFile): Promise<void>
  /** Sends the same file again; null where the page no longer has the file. */
  readonly again: ((file: OutgoingFile, to: readonly string[]) => void) | null
  dismiss(file: OutgoingFile): void
}

export interface AboutOutgoing extends ShownContent {
  readonly key: number
  readonly to: readonly string[]
  readonly isSealed: boolean
  /** The sending account. */
  readonly account: string
  /** What lies at an offset of a folder's tar; null for a file, and where the page no longer has the folder. */
  readonly at: ((offsetBytes: number) => { readonly doneCount: number; readonly path: string | null }) | null
}

/** The progress of the first hop. */
interface Upload {
  readonly acknowledgedBytes: number
  readonly sentBytes: number
  readonly hashedBytes: number
}

export class OutgoingFile implements Outgoing {
  readonly key: number
  readonly name: string
  readonly sizeBytes: number
  readonly tree: TreeSize | null
  readonly to: readonly string[]
  readonly isSealed: boolean
  readonly transferId: ReadonlySignal<string | null>
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<OutgoingProgress>
  readonly pauseOfSend = new Pause()
  readonly #at: AboutOutgoing['at']
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

  constructor({ key, name, sizeBytes, tree, to, isSealed, account, at }: AboutOutgoing, actions: OutgoingActions) {
    this.key = key
    this.name = name
    this.sizeBytes = sizeBytes
    this.tree = tree
    this.#at = at
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

  /** Aborts when the page stops sending the file. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  get isStored(): boolean {
    return this.#storedAt.value !== null
  }

  get canSendAgain(): boolean {
    return this.#actions.again !== null
  }

  /** Another tab started this transfer. */
  begun(transferId: string): void {
    this.#transferId.value = transferId
  }

  pause(): void {
    this.#isPaused.value = true
    this.pauseOfSend.pause()
  }

  resume(): void {
    this.#isPaused.value = false
    this.pauseOfSend.resume()
  }

  cancel(): void {
    void this.#actions.cancel(this)
  }

  sendAgain(): void {
    // A transfer that the portal lost continues under the same id, with the same receivers.
    const isLost = this.#refusal.value?.problem.code === 'transfer-lost'
    const lacking = [...this.#receiversNow].filter(([, { state }]) => state !== 'delivered').map(([name]) => name)
    this.#actions.again?.(this, isLost ? this.to : lacking)
  }

  dismiss(): void {
    this.stop()
    this.#actions.dismiss(this)
  }

  stop(): void {
    this.#stop.abort(new Error('the page stopped sending the file'))
  }

  /** Handles one event of the sender. */
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

  /** Handles the end of the transfer. */
  end(outcome: SendOutcome): void {
    switch (outcome.outcome) {
      case 'refused':
        this.refuse(outcome.problem)
        break
      case 'no-answer':
        if (outcome.problem !== undefined) this.#lose(outcome.problem)
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

  /** The portal has lost a file that it had reported as stored. */
  #lose(problem: ProblemJson): void {
    this.#storedAt.value = null
    this.refuse(problem)
  }

  #uploading({ hashedBytes, sentBytes, acknowledgedBytes }: SendEvent & { type: 'uploading' }): void {
    this.#upload.value = { hashedBytes, sentBytes, acknowledgedBytes }
    this.#rate.add(acknowledgedBytes)
    // Until new bytes leave, the sender rereads the file and compares it with what the portal has.
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

  /** A finished transfer keeps its state: an older progress event may arrive late. */
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
        const files = this.#at?.(acknowledgedBytes) ?? null
        return { phase: 'sending', acknowledgedBytes, underwayBytes, bytesPerSecond, leftMs, files }
      }
    }
  }

  #afterStored(): OutgoingProgress {
    const waitingFor: string[] = []
    const failures: DeliveryFailure[] = []
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
