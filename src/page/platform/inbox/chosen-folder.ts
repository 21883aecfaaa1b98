/**
 * The folder that files are copied to where a person has chosen one (File System Access). The browser may take the permission
 * back at any time, after a reload above all, and gives it again only to a person: until then what is for the folder waits. It
 * never goes somewhere else unasked.
 */
import { change, type PageDatabase } from '../database.ts'

const KEY = 'folder'
const MODE = { mode: 'readwrite' } as const

/** Not among the types of a page: not all browsers have them. */
type WithPermissions = FileSystemDirectoryHandle & {
  queryPermission?(mode: { mode: 'readwrite' }): Promise<PermissionState>
  requestPermission?(mode: { mode: 'readwrite' }): Promise<PermissionState>
}

type Picker = (options: { mode: 'readwrite'; id: string }) => Promise<FileSystemDirectoryHandle>

/** Why what is for the folder waits: the browser wants to be told again that it may write there, or the folder is not there. */
export type FolderLapse = 'permission' | 'missing'

export class ChosenFolder {
  readonly #database: PageDatabase
  readonly #onLapse: (lapse: FolderLapse | null) => void
  #handle: WithPermissions | null
  #lapse: FolderLapse | null = null
  #changed = Promise.withResolvers<void>()

  private constructor(
    database: PageDatabase,
    handle: WithPermissions | null,
    onLapse: (lapse: FolderLapse | null) => void,
  ) {
    this.#database = database
    this.#handle = handle
    this.#onLapse = onLapse
  }

  /** @param onLapse is told when a person is needed, and when no longer */
  static async open(database: PageDatabase, onLapse: (lapse: FolderLapse | null) => void): Promise<ChosenFolder> {
    const kept = (await database.get('settings', KEY)) as WithPermissions | undefined
    const folder = new ChosenFolder(database, kept ?? null, onLapse)
    if (kept !== undefined && !(await isGranted(kept))) folder.lapsed('permission')
    return folder
  }

  static get isPossible(): boolean {
    return pickerOf() !== null
  }

  /** Null where none has been chosen. */
  get name(): string | null {
    return this.#handle?.name ?? null
  }

  /** Lets a person choose. Has to be called by what a person does. @throws DOMException `AbortError` when none is chosen */
  async choose(): Promise<void> {
    const handle = await pickerOf()?.({ ...MODE, id: 'golooader' })
    if (handle === undefined) throw new Error('this browser lets nobody choose a folder')
    await change(this.#database, 'settings', (settings) => settings.put(handle, KEY))
    this.#set(handle)
  }

  /** From now on files stay in the browser. */
  async forget(): Promise<void> {
    await change(this.#database, 'settings', (settings) => settings.delete(KEY))
    this.#set(null)
  }

  /** Asks for the permission once more. Has to be called by what a person does. */
  async askAgain(): Promise<boolean> {
    const handle = this.#handle
    const answer = (await handle?.requestPermission?.(MODE)) ?? 'granted'
    if (answer === 'granted') this.#set(handle)
    return answer === 'granted'
  }

  /** It was found that nothing can be written there. */
  lapsed(lapse: FolderLapse): void {
    if (this.#lapse === lapse) return
    this.#lapse = lapse
    this.#onLapse(lapse)
  }

  /**
   * The folder, as soon as it may be written.
   *
   * @returns null where none is chosen, or no longer
   * @throws the signal's reason when that aborts first
   */
  async ready(signal: AbortSignal): Promise<FileSystemDirectoryHandle | null> {
    while (true) {
      signal.throwIfAborted()
      const handle = this.#handle
      if (handle === null) return null
      if (this.#lapse === null && (await isGranted(handle))) return handle
      this.lapsed(this.#lapse ?? 'permission')
      await settled(this.#changed.promise, signal)
    }
  }

  #set(handle: WithPermissions | null): void {
    this.#handle = handle
    if (this.#lapse !== null) this.#onLapse(null)
    this.#lapse = null
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

async function isGranted(handle: WithPermissions): Promise<boolean> {
  return ((await handle.queryPermission?.(MODE)) ?? 'granted') === 'granted'
}

function pickerOf(): Picker | null {
  const { showDirectoryPicker } = window as { showDirectoryPicker?: Picker }
  return showDirectoryPicker?.bind(window) ?? null
}

async function settled(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborting = Promise.withResolvers<never>()
  const abort = (): void => aborting.reject(signal.reason)
  signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([promise, aborting.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
