/**
 * The files of what was dropped or chosen, folders included. A file in a folder is called by the way to it, as receivers take
 * names only, and no paths: `holiday - first day - beach.jpg`.
 */
import type { NamedFile } from '../model/types.ts'

const BETWEEN = ' - '

/** Has to be called in the event itself: afterwards the browser shows nothing of it any more. */
export async function filesOfDrop(transfer: DataTransfer): Promise<NamedFile[]> {
  const entries = [...transfer.items].flatMap((item) => item.webkitGetAsEntry() ?? [])
  if (entries.length === 0) return [...transfer.files].map((file) => ({ name: file.name, file }))
  const files: NamedFile[] = []
  for (const entry of entries) await collect(entry, '', files)
  return files
}

/** The files of an `<input type="file">`, whether of files or of a folder. */
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

/** A browser tells some of them at a time, and none when there are no more. */
async function childrenOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader()
  const children: FileSystemEntry[] = []
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject))
    if (some.length === 0) return children
    children.push(...some)
  }
}
