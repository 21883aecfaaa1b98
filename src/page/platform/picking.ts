/**
 * What the user dropped or chose: files, each a delivery of its own, and folders, each one delivery.
 *
 * A drop and the dialogue for folders show empty folders. An `<input>` shows files only. No browser tells a page of symbolic links:
 * Chromium leaves them out of a folder that is dropped.
 */
import { Problem } from '../../protocol/index.ts'
import { storageReasonOf } from './inbox/storage-problem.ts'
import { type FolderContent, type Picked, PickedFolder } from './picked-folder.ts'

/** A folder that has no name, as the root of a disk. */
const NAMELESS = 'folder'

type Picker = (options: { mode: 'read'; id: string }) => Promise<FileSystemDirectoryHandle>

/**
 * Call it in the event handler itself: the browser empties the list afterwards.
 *
 * @throws Problem `source-unreadable`
 */
export async function pickedOfDrop(transfer: DataTransfer): Promise<Picked[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  if (entries.length === 0) return [...transfer.files]
  const picked: Picked[] = []
  for (const entry of entries) {
    if (isFile(entry)) picked.push(await fileOf(entry))
    else if (isFolder(entry)) picked.push(await PickedFolder.of(entry.name || NAMELESS, await contentOf(entry)))
  }
  return picked
}

/**
 * The files of an `<input type="file">`, or the folder of one for folders.
 *
 * @throws Problem `source-unreadable`
 */
export async function pickedOfInput(files: readonly File[]): Promise<Picked[]> {
  const roots: FolderContent = new Map()
  const picked: Picked[] = []
  for (const file of files) {
    if (file.webkitRelativePath === '') picked.push(file)
    else put(roots, file.webkitRelativePath.split('/'), file)
  }
  for (const [name, content] of roots) {
    if (content instanceof Map) picked.push(await PickedFolder.of(name || NAMELESS, content))
  }
  return picked
}

/** Whether the browser has a dialogue for folders that shows empty folders, too. */
export function hasFolderDialogue(): boolean {
  return dialogueOf() !== null
}

/**
 * Lets the user choose a folder in that dialogue. Call it in an event handler of a user action.
 *
 * @returns null when the user chooses none
 * @throws Problem `source-unreadable`
 */
export async function pickFolder(): Promise<PickedFolder | null> {
  let handle: FileSystemDirectoryHandle | undefined
  try {
    handle = await dialogueOf()?.({ mode: 'read', id: 'golooader-send' })
  } catch (error) {
    if (storageReasonOf(error) === 'AbortError') return null
    throw error
  }
  return handle === undefined ? null : PickedFolder.of(handle.name || NAMELESS, await contentOfHandle(handle, ''))
}

function dialogueOf(): Picker | null {
  const { showDirectoryPicker } = window as { showDirectoryPicker?: Picker }
  return showDirectoryPicker?.bind(window) ?? null
}

function put(folder: FolderContent, [name = '', ...rest]: readonly string[], file: File): void {
  if (rest.length === 0) {
    folder.set(name, file)
    return
  }
  let child = folder.get(name)
  if (!(child instanceof Map)) {
    child = new Map()
    folder.set(name, child)
  }
  put(child, rest, file)
}

async function contentOf(folder: FileSystemDirectoryEntry): Promise<FolderContent> {
  const content: FolderContent = new Map()
  for (const child of await childrenOf(folder)) {
    if (isFile(child)) content.set(child.name, await fileOf(child))
    else if (isFolder(child)) content.set(child.name, await contentOf(child))
  }
  return content
}

/** A browser returns some entries at a time, and an empty list at the end. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const children: FileSystemEntry[] = []
  for (;;) {
    const some = await readable<FileSystemEntry[]>(folder, (resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return children
    children.push(...some)
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return readable<File>(entry, (resolve, reject) => entry.file(resolve, reject))
}

async function readable<Result>(
  { fullPath }: FileSystemEntry,
  ask: (resolve: (result: Result) => void, reject: (error: Error) => void) => void,
): Promise<Result> {
  try {
    return await new Promise<Result>(ask)
  } catch (cause) {
    throw unreadable(fullPath.replace(/^\//, ''), cause)
  }
}

async function contentOfHandle(folder: FileSystemDirectoryHandle, above: string): Promise<FolderContent> {
  const content: FolderContent = new Map()
  const path = `${above}${folder.name}/`
  try {
    for await (const [name, child] of folder.entries()) {
      if (child instanceof FileSystemDirectoryHandle) content.set(name, await contentOfHandle(child, path))
      else content.set(name, await (child as FileSystemFileHandle).getFile())
    }
  } catch (cause) {
    throw cause instanceof Problem ? cause : unreadable(path, cause)
  }
  return content
}

function unreadable(path: string, cause: unknown): Problem {
  const reason = cause instanceof Error || cause instanceof DOMException ? cause.message : String(cause)
  return new Problem('source-unreadable', { path, detail: `${path} cannot be read: ${reason}` }, { cause })
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}
