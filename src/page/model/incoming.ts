/** The incoming files of this tab. The same receiver core runs in `golooader receive`. */
import { type ReadonlySignal, signal } from '@preact/signals'
import type { PortalClient } from '../../client/index.ts'
import type { ProblemJson } from '../../protocol/index.ts'
import {
  type Decision,
  folderName,
  type OpenOffer,
  type PartBody,
  type ReceiveEvent,
  type ReceiverTrust,
  type RequestOfFile,
} from '../../receiver/index.ts'
import { askToPersist } from '../platform/browser.ts'
import { change, type PageDatabase } from '../platform/database.ts'
import { ChosenFolder, type FolderLapse } from '../platform/inbox/chosen-folder.ts'
import { download } from '../platform/inbox/download.ts'
import type { KeptFile, PageInbox } from '../platform/inbox/page-inbox.ts'
import { receiveHere } from '../platform/inbox/receive-here.ts'
import type { WritingProgress } from '../platform/inbox/tree-progress.ts'
import { type AboutIncoming, type FileEvent, IncomingTransfer } from './incoming-transfer.ts'
import { problemOf } from './problem-of.ts'
import type { ConnectionState, Incoming, IncomingFiles } from './types.ts'

const AUTOMATIC_KEY = 'accepts everything'

export interface IncomingOptions {
  readonly client: PortalClient<PartBody>
  readonly account: string
  readonly trust: ReceiverTrust
  readonly database: PageDatabase
  readonly inbox: PageInbox
  readonly lapse: ReadonlySignal<FolderLapse | null>
  readonly signal: AbortSignal
  /** Receives one file, which its user has accepted already, and ends. */
  readonly isForOne?: boolean
  /** Opens the label of a request of this account; null where this browser cannot. */
  readonly labelOf?: (request: RequestOfFile) => Promise<string | null>
  readonly onConnection: (connection: ConnectionState) => void
  readonly onHeldBack: () => void
  readonly onTrouble: (problem: ProblemJson) => void
  readonly onChange: () => void
}

export class IncomingList implements IncomingFiles {
  readonly files: ReadonlySignal<readonly Incoming[]>
  readonly isAutomatic: ReadonlySignal<boolean>
  readonly folder: ReadonlySignal<string | null>
  readonly lapse: ReadonlySignal<FolderLapse | null>
  readonly canChooseFolder = ChosenFolder.isPossible
  readonly #options: IncomingOptions
  readonly #files = signal<readonly IncomingTransfer[]>([])
  readonly #isAutomatic = signal(false)
  readonly #folder: ReturnType<typeof signal<string | null>>

  private constructor(options: IncomingOptions, isAutomatic: boolean) {
    this.#options = options
    this.#isAutomatic.value = isAutomatic
    this.#folder = signal(options.inbox.folder.name)
    this.files = this.#files
    this.isAutomatic = this.#isAutomatic
    this.folder = this.#folder as ReadonlySignal<string | null>
    this.lapse = options.lapse
  }

  static async open(options: IncomingOptions): Promise<IncomingList> {
    const isAutomatic = options.isForOne === true || (await options.database.get('settings', AUTOMATIC_KEY)) === true
    const list = new IncomingList(options, isAutomatic)
    for (const file of await options.inbox.kept()) list.#showKept(file)
    return list
  }

  /** Receives until the signal aborts, or until the one file has come. */
  async run(): Promise<void> {
    const { client, trust, inbox, signal: stop, onTrouble, isForOne = false } = this.#options
    try {
      await receiveHere(inbox, {
        ...{ client, trust, signal: stop },
        from: null,
        isOnce: isForOne,
        decide: (offer, signal) => this.#decide(offer, signal),
        onEvent: (event) => this.#apply(event),
      })
    } catch (error) {
      if (!stop.aborted) onTrouble(problemOf(error))
    }
  }

  setAutomatic(isAutomatic: boolean): void {
    this.#isAutomatic.value = isAutomatic
    void change(this.#options.database, 'settings', (settings) => settings.put(isAutomatic, AUTOMATIC_KEY))
    if (isAutomatic) this.acceptAll()
  }

  async chooseFolder(): Promise<void> {
    const { folder } = this.#options.inbox
    try {
      if (this.lapse.value === 'permission') await folder.askAgain()
      else await folder.choose()
    } catch (error) {
      // The user closed the folder dialogue, so the folder stays as it is.
      if (!(error instanceof DOMException && error.name === 'AbortError')) throw error
    }
    this.#folder.value = folder.name
  }

  async forgetFolder(): Promise<void> {
    const { folder } = this.#options.inbox
    await folder.forget()
    this.#folder.value = folder.name
  }

  acceptAll(): void {
    for (const file of this.#files.value) if (file.progress.value.phase === 'asking') file.accept()
  }

  /** The inbox writes a file of a tree into the chosen folder. */
  unpacking(transferId: string, progress: WritingProgress): void {
    this.#files.value.find((file) => file.transferId === transferId)?.unpacking(progress)
  }

  /** Files that arrived before this tab was loaded and are still in this browser. */
  #showKept({ transferId, name, sizeBytes, mediaType, tree, from, atMs }: KeptFile): void {
    const sender = from ?? 'an unknown sender'
    const shownName = tree === null ? name : folderName(name)
    const about = {
      transferId,
      name: shownName,
      sizeBytes,
      mediaType,
      tree,
      from: sender,
      isSealed: null,
      isStored: true,
    }
    const file = this.#add(about)
    const at = new Date(atMs).toISOString()
    file.received({ finalName: name, folder: null, signedBy: null, at, unpacked: null })
  }

  async #decide(offer: OpenOffer, signal: AbortSignal): Promise<Decision> {
    const file = this.#files.value.find(({ transferId }) => transferId === offer.transferId)
    if (this.#isAutomatic.value || file === undefined) return 'accept'
    return file.ask(signal)
  }

  #apply(event: ReceiveEvent): void {
    const { onConnection, onHeldBack, onChange, onTrouble } = this.#options
    if (event.type === 'connected' || event.type === 'disconnected') {
      onConnection(event.type === 'connected' ? 'connected' : 'lost')
      return
    }
    if (event.type === 'held-back') {
      onHeldBack()
      return
    }
    // The inbox of a page always exists.
    if (event.type === 'waiting') return
    if (event.type === 'contested') {
      onTrouble(event.problem)
      return
    }
    if (event.type === 'clock-off') {
      if (event.isWaiting) onTrouble(event.problem)
      return
    }
    const file = this.#fileOf(event)
    file.apply(event)
    if (event.request !== undefined && file.label.value === null) void this.#label(file, event.request)
    if (event.type === 'received') void this.#received(file, event)
    if (event.type !== 'fetching') onChange()
  }

  #fileOf(event: FileEvent): IncomingTransfer {
    const known = this.#files.value.find(({ transferId }) => transferId === event.transferId)
    if (known?.isFrom(event) === true) return known
    // The portal offers different content under the same id. The page ends the old entry, so that the user does not
    // confuse the two.
    if (known !== undefined) this.#remove(known)
    return this.#add(event)
  }

  #add(about: AboutIncoming): IncomingTransfer {
    const file = new IncomingTransfer(about, this.#options.account, {
      save: (one) => this.#save(one),
      remove: (one) => this.#removeKept(one),
      dismiss: (one) => this.#remove(one),
    })
    this.#files.value = [file, ...this.#files.value]
    return file
  }

  /** The label is sealed, and only the browser that made the request can open it. */
  async #label(file: IncomingTransfer, request: RequestOfFile): Promise<void> {
    file.label.value = (await this.#options.labelOf?.(request).catch(() => null)) ?? null
  }

  async #received(file: IncomingTransfer, { path, signedBy }: FileEvent & { type: 'received' }): Promise<void> {
    const kept = (await this.#options.inbox.kept()).find(({ transferId }) => transferId === file.transferId)
    const at = new Date().toISOString()
    if (kept === undefined) {
      const unpacked = await this.#options.inbox.unpacked(file.transferId)
      file.received({ finalName: path, folder: this.#options.inbox.folder.name, signedBy, at, unpacked })
      file.notKeptHere()
      return
    }
    file.received({ finalName: kept.name, folder: null, signedBy, at, unpacked: null })
    // Some browsers ask their user, and a guest keeps the file for a short time only.
    if (this.#options.isForOne !== true) void askToPersist()
    await file.save()
  }

  async #save(file: IncomingTransfer): Promise<void> {
    const { inbox } = this.#options
    const kept = (await inbox.kept()).find(({ transferId }) => transferId === file.transferId)
    if (kept !== undefined) download(await inbox.keptFile(file.transferId), kept.name, kept.mediaType)
  }

  async #removeKept(file: IncomingTransfer): Promise<void> {
    await this.#options.inbox.removeKept(file.transferId)
    file.notKeptHere()
  }

  #remove(file: IncomingTransfer): void {
    this.#files.value = this.#files.value.filter((other) => other !== file)
  }
}
