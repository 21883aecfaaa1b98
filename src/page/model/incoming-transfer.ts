/** One incoming file: turns the receiver's events into what the page shows. */
import { computed, type ReadonlySignal, signal } from '@preact/signals'
import { Rate } from '../../client/index.ts'
import { printable, type TreeSize } from '../../protocol/index.ts'
import type { Decision, ReceiveEvent } from '../../receiver/index.ts'
import type { Unpacked, WritingProgress } from '../platform/inbox/tree-progress.ts'
import type { Hop, Picture } from './hops.ts'
import { leftMsAt } from './time-left.ts'
import type { Incoming, IncomingProgress } from './types.ts'

/** Actions of the list that an incoming file calls. */
export interface IncomingActions {
  save(file: IncomingTransfer): Promise<void>
  remove(file: IncomingTransfer): Promise<void>
  dismiss(file: IncomingTransfer): void
}

/** The events that are about one file. */
export type FileEvent = Extract<ReceiveEvent, { readonly transferId: string }>

export interface AboutIncoming {
  readonly transferId: string
  readonly from: string
  readonly name: string
  readonly sizeBytes: number
  /** Of a stream that has not ended. */
  readonly isSizeKnown?: false
  /** Type and subtype; null where it is unknown. */
  readonly mediaType: string | null
  /** Null for a file. */
  readonly tree: TreeSize | null
  /** Null where the page no longer knows it. */
  readonly isSealed: boolean | null
  readonly isStored: boolean
}

/** Where the receiver put a file. */
export interface Placed {
  readonly finalName: string
  /** Null where it is kept in the browser. */
  readonly folder: string | null
  readonly signedBy: string | null
  readonly at: string
  readonly unpacked: Unpacked | null
}

export class IncomingTransfer implements Incoming {
  readonly transferId: string
  readonly from: string
  readonly label = signal<string | null>(null)
  readonly name: ReadonlySignal<string>
  readonly sizeBytes: ReadonlySignal<number | null>
  readonly tree: ReadonlySignal<TreeSize | null>
  readonly mediaType: ReadonlySignal<string | null>
  readonly isSealed: boolean | null
  readonly picture: ReadonlySignal<Picture>
  readonly progress: ReadonlySignal<IncomingProgress>
  readonly trouble: ReadonlySignal<string | null>
  readonly #trouble = signal<string | null>(null)
  readonly #actions: IncomingActions
  readonly #rate = new Rate()
  readonly #name = signal('')
  readonly #sizeBytes = signal<number | null>(null)
  readonly #tree = signal<TreeSize | null>(null)
  readonly #mediaType = signal<string | null>(null)
  readonly #isStored = signal(false)
  readonly #receivedAt = signal<string | null>(null)
  readonly #progress = signal<IncomingProgress>({ phase: 'waiting', reason: 'Checking the offer…' })
  #decide: ((decision: Decision) => void) | null = null

  constructor(about: AboutIncoming, account: string, actions: IncomingActions) {
    this.transferId = about.transferId
    this.from = about.from
    this.isSealed = about.isSealed
    this.#actions = actions
    this.name = this.#name
    this.sizeBytes = this.#sizeBytes
    this.tree = this.#tree
    this.mediaType = this.#mediaType
    this.progress = this.#progress
    this.trouble = this.#trouble
    this.picture = computed(() => ({
      sender: this.from,
      first: this.#firstHop(),
      second: [{ receiver: account, hop: this.#secondHop() }],
    }))
    this.#learn(about)
  }

  /** Asks the user and returns the decision. The question is withdrawn when the signal aborts. */
  ask(signal: AbortSignal): Promise<Decision> {
    this.#progress.value = { phase: 'asking' }
    return new Promise((resolve, reject) => {
      this.#decide = resolve
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  }

  accept(): void {
    if (this.#decide === null) return
    this.#progress.value = { phase: 'waiting', reason: 'Accepted and queued.' }
    this.#answer('accept')
  }

  decline(reason: string): void {
    if (this.#decide === null) return
    this.#progress.value = { phase: 'waiting', reason: 'Telling the sender…' }
    this.#answer({ refuse: reason })
  }

  save(): Promise<void> {
    return this.#tried('It could not be saved', this.#actions.save(this))
  }

  remove(): Promise<void> {
    return this.#tried('It could not be removed', this.#actions.remove(this))
  }

  dismiss(): void {
    this.#actions.dismiss(this)
  }

  /** Handles each event of the receiver except the file's final place. */
  apply(event: FileEvent): void {
    this.#learn(event)
    switch (event.type) {
      case 'fetching': {
        const { heldBytes, sizeBytes } = event
        this.#rate.add(heldBytes)
        const { bytesPerSecond } = this.#rate
        const leftMs = event.isSizeKnown === false ? null : leftMsAt(bytesPerSecond, sizeBytes - heldBytes)
        this.#progress.value = { phase: 'fetching', heldBytes, bytesPerSecond, leftMs }
        break
      }
      case 'refused':
        this.#progress.value = { phase: 'declined', problem: event.problem }
        break
      case 'withdrawn':
        this.#progress.value = { phase: 'withdrawn', problem: event.problem }
        break
      case 'given-up':
        this.#progress.value = { phase: 'waiting', reason: `The portal offers it again soon: ${event.reason}` }
        break
    }
  }

  /** The tree is complete here, and its files are being written into the chosen folder. */
  unpacking({ doneCount, path }: WritingProgress): void {
    this.#progress.value = { phase: 'unpacking', doneCount, path: printable(path) }
  }

  received({ finalName, folder, signedBy, at, unpacked }: Placed): void {
    this.#isStored.value = true
    this.#receivedAt.value = at
    this.#progress.value = { phase: 'received', finalName, folder, keptHere: folder === null, signedBy, unpacked }
  }

  /** The name is known once the seal is open. */
  #learn({ name, sizeBytes, isSizeKnown, mediaType, tree, isStored }: AboutIncoming): void {
    this.#name.value = name === '' ? 'A sealed file' : printable(name)
    this.#sizeBytes.value = isSizeKnown === false ? null : sizeBytes
    this.#mediaType.value = mediaType
    this.#tree.value = tree
    this.#isStored.value = isStored || this.#isStored.value
  }

  /** Whether the sender and the privacy match what this event says. */
  isFrom({ from, isSealed }: AboutIncoming): boolean {
    return this.from === from && (this.isSealed === null || this.isSealed === isSealed)
  }

  /** The user has removed the file from this browser. */
  notKeptHere(): void {
    const now = this.#progress.value
    if (now.phase === 'received') this.#progress.value = { ...now, keptHere: false }
  }

  async #tried(what: string, act: Promise<void>): Promise<void> {
    this.#trouble.value = null
    try {
      await act
    } catch (error) {
      this.#trouble.value = `${what}: ${error instanceof Error ? error.message : String(error)}`
    }
  }

  #answer(decision: Decision): void {
    this.#decide?.(decision)
    this.#decide = null
  }

  #firstHop(): Hop {
    if (this.#isStored.value) return { state: 'done', at: null }
    const now = this.#progress.value
    if (now.phase === 'withdrawn') return { state: 'failed', problem: now.problem, at: null }
    // The portal holds at least the bytes that arrived here. Only the sender learns how many more it holds.
    const doneBytes = now.phase === 'fetching' ? now.heldBytes : 0
    return { state: doneBytes > 0 ? 'moving' : 'held', doneBytes, sizeBytes: this.#sizeBytes.value }
  }

  #secondHop(): Hop {
    const now = this.#progress.value
    const sizeBytes = this.#sizeBytes.value
    switch (now.phase) {
      case 'asking':
      case 'waiting':
        return { state: 'held', doneBytes: 0, sizeBytes }
      case 'fetching':
        return { state: 'moving', doneBytes: now.heldBytes, sizeBytes }
      // The receipt follows when all files are written.
      case 'unpacking':
        return { state: 'moving', doneBytes: sizeBytes ?? 0, sizeBytes }
      case 'received':
        return { state: 'done', at: this.#receivedAt.value }
      case 'declined':
      case 'withdrawn':
        return { state: 'failed', problem: now.problem, at: null }
    }
  }
}
