/**
 * The files that the user dropped or chose, including those in folders. A file of a folder gets a name that includes
 * its path, because receivers accept names without separators only: `holiday - first day - beach.jpg`.
 */
import type { NamedFile } from '../model/types.ts'

const BETWEEN = ' - '

/** Call it in the event handler itself: the browser empties the list afterwards. */
export async function filesOfDrop(transfer: DataTransfer): Promise<NamedFile[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  if (entries.length === 0) return [...transfer.files].map((file) => ({ name: file.name, file }))
  const files: NamedFile[] = []
  for (const entry of entries) await collect(entry, '', files)
  return files
}

/** The files of an `<input type="file">`, for files or for a folder. */
export function filesOfInput(input: HTMLInputElement): NamedFile[] {
  return [...(input.files ?? [])].map((file) => ({
    name: file.webkitRelativePath === '' ? file.name : file.webkitRelativePath.replaceAll('/', BETWEEN),
    file,
  }))
}

async function collect(entry: FileSystemEntry, above: string, files: NamedFile[]): Promise<void> {
  const name = above + entry.name
  if (isFile(entry)) {
    const file = await new Promise<File>((resolve, reject) => entry.file(resolve, reject))
    files.push({ name, file })
  } else if (isFolder(entry)) {
    for (const child of await childrenOf(entry)) await collect(child, name + BETWEEN, files)
  }
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

function isFolder(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}

/** A browser returns some entries at a time, and an empty list at the end. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const children: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return children
    children.push(...some)
  }
}
