/**
 * The folder that the user has chosen for received files (File System Access). The browser may revoke the permission at
 * any time, and often does so after a reload. Only a user action can restore it. Files for the folder wait until then,
 * and the page never writes them to another place.
 */
import { change, type PageDatabase } from '../database.ts'

const KEY = 'folder'
const MODE = { mode: 'readwrite' } as const

/** The DOM types lack these, because some browsers do not have them. */
type WithPermissions = FileSystemDirectoryHandle & {
  queryPermission?(mode: { mode: 'readwrite' }): Promise<PermissionState>
  requestPermission?(mode: { mode: 'readwrite' }): Promise<PermissionState>
}

type Picker = (options: { mode: 'readwrite'; id: string }) => Promise<FileSystemDirectoryHandle>

/** Why files for the folder wait: the permission has expired, or the folder is missing. */
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

  /** @param onLapse called when the folder needs the user, and when it no longer does */
  static async open(database: PageDatabase, onLapse: (lapse: FolderLapse | null) => void): Promise<ChosenFolder> {
    const kept = (await database.get('settings', KEY)) as WithPermissions | undefined
    const folder = new ChosenFolder(database, kept ?? null, onLapse)
    if (kept !== undefined && !(await isGranted(kept))) folder.lapsed('permission')
    return folder
  }

  static get isPossible(): boolean {
    return pickerOf() !== null
  }

  /** Null where the user has chosen none. */
  get name(): string | null {
    return this.#handle?.name ?? null
  }

  /**
   * Lets the user choose a folder. Call it in an event handler of a user action.
   *
   * @throws DOMException `AbortError` when the user chooses none
   */
  async choose(): Promise<void> {
    const handle = await pickerOf()?.({ ...MODE, id: 'golooader' })
    if (handle === undefined) throw new Error('this browser has no dialogue to choose a folder')
    await change(this.#database, 'settings', (settings) => settings.put(handle, KEY))
    this.#set(handle)
  }

  /** Stops using the folder. New files stay in the browser. */
  async forget(): Promise<void> {
    await change(this.#database, 'settings', (settings) => settings.delete(KEY))
    this.#set(null)
  }

  /** Asks for the permission again. Call it in an event handler of a user action. */
  async askAgain(): Promise<boolean> {
    const handle = this.#handle
    const answer = (await handle?.requestPermission?.(MODE)) ?? 'granted'
    if (answer === 'granted') this.#set(handle)
    return answer === 'granted'
  }

  /** Reports that a write to the folder was refused. */
  lapsed(lapse: FolderLapse): void {
    if (this.#lapse === lapse) return
    this.#lapse = lapse
    this.#onLapse(lapse)
  }

  /**
   * Waits until the folder is writable.
   *
   * @returns null where no folder is chosen, or no longer
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
