/**
 * A received tree in the folder that the user has chosen. A browser can neither rename a folder nor make a symbolic link. So the tree is
 * written under its final name, entry by entry, and links are left out.
 *
 * A run that was interrupted is completed by another one, which goes through the same entries in the same order: a file that is there with
 * the same content is kept, and an empty one is what an interrupted write has left. Every other file is not of this tree, and the entry gets
 * another name.
 */
import { numberedName, Problem, sameNamesMax } from '../../../protocol/index.ts'
import { joinPath, nameVariants, type RenamedEntry, safeTreeName, splitPath } from '../../../receiver/index.ts'
import { removeUnlessFull, swapEnd } from './folder-copy.ts'
import { storageReasonOf } from './storage-problem.ts'
import type { WritingProgress } from './tree-progress.ts'
import { entriesOf, type UnpackedEntry } from './tree-reading.ts'

/** Files that are written at the same time. */
const WRITTEN_AT_ONCE = 8
/** How many changed names are remembered. */
const RENAMED_MAX = 20
/** Compared at a time. */
const COMPARED_BYTES = 4 * 1024 * 1024

interface WritingOptions {
  /** Whether an earlier run may have written a part of it. */
  readonly isResumed: boolean
  readonly signal: AbortSignal
  readonly onProgress: (progress: WritingProgress) => void
}

/** How an attempt under one name ended: done; the name is taken; or the browser does not take such a name. */
type Attempt = 'done' | 'taken' | 'refused'

/** Where a file of the tree is. */
interface Placed {
  readonly folder: FileSystemDirectoryHandle
  readonly name: string
  readonly file: File
}

export class TreeFolder {
  readonly #root: FileSystemDirectoryHandle
  readonly #isCaseBlind: boolean
  /** Paths in the folder -> the path of the entry that has it, with `/` at the end for a folder. Without the name of the root folder. */
  readonly #claims = new Map<string, string>()
  /** The same paths, as a disk compares them that does not tell letters apart by their case. */
  readonly #folded = new Set<string>()
  /** Folders that have another path than their own: path of the entry -> path in the folder. */
  readonly #moved = new Map<string, string>()
  /** The folder that was used last: files of a folder come one after another. */
  #last: { readonly path: string; readonly handle: FileSystemDirectoryHandle } | null = null
  readonly renamed: RenamedEntry[] = []
  renamedCount = 0

  private constructor(root: FileSystemDirectoryHandle, isCaseBlind: boolean) {
    this.#root = root
    this.#isCaseBlind = isCaseBlind
  }

  /**
   * @param name of the tree's root folder
   * @param create whether it is made where it is missing
   * @throws DOMException `NotFoundError`
   */
  static async in(folder: FileSystemDirectoryHandle, name: string, create: boolean): Promise<TreeFolder> {
    const root = await folder.getDirectoryHandle(name, { create })
    return new TreeFolder(root, await isCaseBlind(folder, name))
  }

  /** Writes what is not there yet. @throws Problem `name-refused`, `write-failed`; the signal's reason; errors of the browser */
  async write(tar: File, { isResumed, signal, onProgress }: WritingOptions): Promise<void> {
    const running = new Set<Promise<void>>()
    let doneCount = 0
    try {
      for await (const file of entriesOf(tar, signal)) {
        const path = inRoot(file.entry.path)
        if (file.entry.kind === 'folder') await this.#folder(path, true)
        if (file.entry.kind !== 'file') continue
        const folder = await this.#folder(splitPath(path)[0], true)
        while (running.size >= WRITTEN_AT_ONCE) await Promise.race(running)
        const writing = this.#write(folder, file, { isResumed, signal }).then(() => {
          running.delete(writing)
          onProgress({ doneCount: ++doneCount, path: file.entry.path })
        })
        // A failure is noticed by the next look at all of them.
        writing.catch(() => {})
        running.add(writing)
      }
      await Promise.all(running)
    } finally {
      await Promise.allSettled(running)
    }
  }

  /** Whether all of the tree is there. */
  async isWhole(tar: File, signal: AbortSignal): Promise<boolean> {
    for await (const { entry, content } of entriesOf(tar, signal)) {
      const path = inRoot(entry.path)
      if (entry.kind === 'folder' && (await orNull(this.#folder(path, false))) === null) return false
      if (entry.kind !== 'file') continue
      const placed = await orNull(this.#find(path))
      if (placed === null || !(await isSame(placed.file, content))) return false
    }
    return true
  }

  /** Removes what an interrupted write has left, and nothing else. */
  async remove(tar: File, signal: AbortSignal): Promise<void> {
    const folders: string[] = []
    for await (const { entry, content } of entriesOf(tar, signal)) {
      const path = inRoot(entry.path)
      if (entry.kind === 'folder' && path !== '' && (await orNull(this.#folder(path, false))) !== null) {
        folders.push(this.#pathOf(path))
      }
      if (entry.kind !== 'file') continue
      const placed = await orNull(this.#find(path))
      const isOfTree = placed !== null && (placed.file.size === 0 || (await isSame(placed.file, content)))
      if (!isOfTree) continue
      await placed.folder.removeEntry(placed.name)
      await removeUnlessFull(placed.folder, placed.name + swapEnd)
    }
    for (const path of folders.reverse()) {
      const [above, name] = splitPath(path)
      await removeUnlessFull(await this.#handleAt(above), name)
    }
  }

  /** The folder of a path. */
  async #folder(path: string, create: boolean): Promise<FileSystemDirectoryHandle> {
    if (path === '') return this.#root
    if (this.#last?.path === path) return this.#last.handle
    const handle = await this.#folderAt(path, create)
    this.#last = { path, handle }
    return handle
  }

  async #folderAt(path: string, create: boolean): Promise<FileSystemDirectoryHandle> {
    const onDisk = this.#pathOf(path)
    if (this.#claims.get(onDisk) === asFolder(path)) return this.#handleAt(onDisk)
    const above = await this.#folder(splitPath(path)[0], create)
    let made: FileSystemDirectoryHandle | null = null
    await this.#naming(path, true, async (name) => {
      made = await above.getDirectoryHandle(name, { create })
      return 'done'
    })
    if (made === null) throw new Error('there is no folder')
    return made
  }

  async #write(
    folder: FileSystemDirectoryHandle,
    { entry, content }: UnpackedEntry,
    { isResumed, signal }: Pick<WritingOptions, 'isResumed' | 'signal'>,
  ): Promise<void> {
    await this.#naming(inRoot(entry.path), false, async (name) => {
      signal.throwIfAborted()
      const handle = await folder.getFileHandle(name, { create: true })
      const present = await handle.getFile()
      if (present.size > 0) return (await isSame(present, content)) ? 'done' : 'taken'
      if (entry.sizeBytes === 0) return 'done'
      if (isResumed) await removeUnlessFull(folder, name + swapEnd)
      await writeContent(handle, { entry, content }, signal)
      return 'done'
    })
  }

  /** Where a file is, under the name that a run without disturbance gives it. @throws DOMException `NotFoundError` */
  async #find(path: string): Promise<Placed> {
    const folder = await this.#folder(splitPath(path)[0], false)
    let placed: Placed | null = null
    await this.#naming(path, false, async (name) => {
      placed = { folder, name, file: await (await folder.getFileHandle(name)).getFile() }
      return 'done'
    })
    if (placed === null) throw new Error('there is no file')
    return placed
  }

  /** Does a step under a name of its own: another number while the name is taken, another name where the browser does not take it. */
  async #naming(path: string, isFolder: boolean, act: (name: string) => Promise<Attempt>): Promise<void> {
    const [above, ownName] = splitPath(path)
    const safe = safeTreeName(ownName)
    // Browsers refuse some endings, such as that of links on Windows.
    for (const variant of new Set([safe, ...nameVariants(safe), `${safe}_`])) {
      for (let number = 0; number <= sameNamesMax; number++) {
        const name = numberedName(variant, number, { isFolder })
        const onDisk = joinPath(this.#pathOf(above), name)
        if (!this.#claim(isFolder ? asFolder(path) : path, onDisk)) continue
        const attempt = await attempted(() => act(name))
        if (attempt === 'refused') break
        if (attempt === 'taken') continue
        if (name !== ownName) this.#note({ path, writtenAs: onDisk }, isFolder)
        return
      }
    }
    throw new Problem('name-refused', { detail: `${path}: the browser of the receiver takes no such name` })
  }

  #note(renamed: RenamedEntry, isFolder: boolean): void {
    this.renamedCount++
    if (this.renamed.length < RENAMED_MAX) this.renamed.push(renamed)
    if (isFolder) this.#moved.set(renamed.path, renamed.writtenAs)
  }

  /** @returns whether no other entry has the path */
  #claim(path: string, onDisk: string): boolean {
    const folded = onDisk.toUpperCase().toLowerCase()
    if (this.#claims.has(onDisk) || (this.#isCaseBlind && this.#folded.has(folded))) return false
    this.#claims.set(onDisk, path)
    if (this.#isCaseBlind) this.#folded.add(folded)
    return true
  }

  /** Where a folder of the tree is. */
  #pathOf(path: string): string {
    if (this.#moved.size === 0 || path === '') return path
    const [above, name] = splitPath(path)
    return this.#moved.get(path) ?? joinPath(this.#pathOf(above), name)
  }

  async #handleAt(path: string): Promise<FileSystemDirectoryHandle> {
    let handle = this.#root
    for (const name of path.split('/')) if (name !== '') handle = await handle.getDirectoryHandle(name)
    return handle
  }
}

async function writeContent(
  handle: FileSystemFileHandle,
  { entry, content }: UnpackedEntry,
  signal: AbortSignal,
): Promise<void> {
  try {
    const writable = await handle.createWritable()
    if (content instanceof Blob) await content.stream().pipeTo(writable, { signal })
    else {
      await writable.write(content)
      await writable.close()
    }
  } catch (cause) {
    signal.throwIfAborted()
    if (storageReasonOf(cause) !== 'AbortError') throw cause
    // Browsers refuse to write some types of files.
    const detail = `${entry.path}: the browser of the receiver does not let such a file be written`
    throw new Problem('write-failed', { detail }, { cause })
  }
  const { size } = await handle.getFile()
  if (size !== entry.sizeBytes) throw new DOMException('the copy is not as long as the file', 'NotReadableError')
}

/** Null for what is not there. */
async function orNull<Found>(finding: Promise<Found>): Promise<Found | null> {
  try {
    return await finding
  } catch (error) {
    if (storageReasonOf(error) === 'NotFoundError') return null
    throw error
  }
}

async function attempted(act: () => Promise<Attempt>): Promise<Attempt> {
  try {
    return await act()
  } catch (error) {
    // The browser takes no such name.
    if (error instanceof TypeError) return 'refused'
    // A file is there instead of a folder, or the other way round.
    if (storageReasonOf(error) === 'TypeMismatchError') return 'taken'
    throw error
  }
}

/** Whether a disk does not tell letters apart by their case. It is asked for a folder whose name is there. */
async function isCaseBlind(folder: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  const upper = name.toUpperCase()
  const other = upper === name ? name.toLowerCase() : upper
  if (other === name) return true
  try {
    await folder.getDirectoryHandle(other)
  } catch (error) {
    if (storageReasonOf(error) === null) throw error
    return false
  }
  for await (const one of folder.keys()) if (one === other) return false
  return true
}

async function isSame(file: File, content: Uint8Array<ArrayBuffer> | Blob): Promise<boolean> {
  const expected = content instanceof Blob ? content : new Blob([content])
  if (file.size !== expected.size) return false
  for (let from = 0; from < file.size; from += COMPARED_BYTES) {
    const [one, other] = await Promise.all(
      [file, expected].map(async (blob) => new Uint8Array(await blob.slice(from, from + COMPARED_BYTES).arrayBuffer())),
    )
    if (one?.length !== other?.length || !one?.every((byte, at) => byte === other?.[at])) return false
  }
  return true
}

function asFolder(path: string): string {
  return `${path}/`
}

/** The path without the root folder, whose name the metadata says. */
function inRoot(path: string): string {
  const slash = path.indexOf('/')
  return slash < 0 ? '' : path.slice(slash + 1)
}
