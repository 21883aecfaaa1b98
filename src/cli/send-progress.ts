/** The progress of the files being sent, computed from the sender's events. All views show it. */
import { basename, resolve } from 'node:path'
import { Rate } from '../client/index.ts'
import type { TreeSize } from '../protocol/index.ts'
import type { SendEvent } from '../sender/events.ts'
import { printable } from './text.ts'

/** Of a folder: how many files are done, and the path of what follows. */
export interface FilesDone {
  readonly done: number
  readonly path: string
}

/** The state of one receiver. */
export type ReceiverProgress =
  | { readonly state: 'waiting'; readonly fetchedBytes: number; readonly files: FilesDone | null }
  | { readonly state: 'delivered'; readonly tookMs: number }
  | { readonly state: 'failed' }

export interface FileProgress {
  readonly transferId: string
  readonly path: string
  /** Safe to show. */
  readonly label: string
  /** 0 while it is not known. */
  sizeBytes: number
  isSizeKnown: boolean
  /** What is in a folder; null for a file. */
  readonly tree: TreeSize | null
  readonly to: readonly string[]
  readonly startedAtMs: number
  /** Of a folder: how many files the portal holds, and what is being read. */
  underWay: FilesDone | null
  hashedBytes: number
  sentBytes: number
  acknowledgedBytes: number
  /** Null until the first notification. */
  storedAtMs: number | null
  isOver: boolean
  readonly receivers: Map<string, ReceiverProgress>
  readonly rate: Rate
}

export class SendProgress {
  readonly files = new Map<string, FileProgress>()
  /** Names that several of the paths end with. */
  readonly #ambiguous: ReadonlySet<string>

  /** @param paths all that is sent, so that those of the same name are told apart */
  constructor(paths: readonly string[] = []) {
    const names = [...new Set(paths)].map(nameOf)
    this.#ambiguous = new Set(names.filter((name, index) => names.indexOf(name) !== index))
  }

  /** What the lines about a path call it, safe to show: its name, or the path where the name does not tell it. */
  labelOf(path: string, isTree: boolean): string {
    if (this.#ambiguous.has(nameOf(path))) return printable(path)
    return printable(isTree ? `${nameOf(path)}/` : nameOf(path))
  }

  /** @returns the file of the event; null when it concerns no file */
  apply(event: SendEvent): FileProgress | null {
    if (event.type === 'started') return this.#start(event)
    const transferId = event.type === 'notification' ? event.notification.transferId : event.transferId
    const file = transferId === null ? undefined : this.files.get(transferId)
    if (file === undefined) return null
    switch (event.type) {
      case 'uploading':
        file.hashedBytes = event.hashedBytes
        file.underWay = event.files ?? null
        file.sentBytes = event.sentBytes
        file.acknowledgedBytes = event.acknowledgedBytes
        file.rate.add(event.acknowledgedBytes)
        break
      case 'sized':
        file.sizeBytes = event.sizeBytes
        file.isSizeKnown = true
        break
      case 'fetched':
        if (file.receivers.get(event.receiver)?.state === 'waiting') {
          file.receivers.set(event.receiver, {
            state: 'waiting',
            fetchedBytes: event.fetchedBytes,
            files: event.files ?? null,
          })
        }
        break
      case 'smaller-parts':
        this.files.delete(event.transferId)
        break
      case 'notification':
        this.#note(file, event.notification)
        break
    }
    return file
  }

  #start(event: SendEvent & { type: 'started' }): FileProgress {
    const { transferId, path, sizeBytes, isSizeKnown = true, to, tree } = event
    const receivers = new Map(to.map((name) => [name, { state: 'waiting' as const, fetchedBytes: 0, files: null }]))
    const file: FileProgress = {
      transferId,
      path,
      label: this.labelOf(path, tree !== null),
      sizeBytes,
      isSizeKnown,
      tree,
      to,
      startedAtMs: performance.now(),
      underWay: null,
      hashedBytes: 0,
      sentBytes: 0,
      acknowledgedBytes: 0,
      storedAtMs: null,
      isOver: false,
      receivers: new Map(receivers),
      rate: new Rate(),
    }
    this.files.set(transferId, file)
    return file
  }

  #note(file: FileProgress, notification: (SendEvent & { type: 'notification' })['notification']): void {
    switch (notification.notification) {
      case 'stored':
        file.storedAtMs = performance.now()
        file.acknowledgedBytes = file.sizeBytes
        break
      case 'refused':
        file.isOver = true
        break
      case 'delivered':
        file.receivers.set(notification.receiver, {
          state: 'delivered',
          tookMs: performance.now() - (file.storedAtMs ?? file.startedAtMs),
        })
        break
      case 'failed':
        file.receivers.set(notification.receiver, { state: 'failed' })
        break
    }
    if ([...file.receivers.values()].every(({ state }) => state !== 'waiting')) file.isOver = true
  }
}

function nameOf(path: string): string {
  return basename(resolve(path))
}
