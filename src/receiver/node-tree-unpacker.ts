/**
 * Unpacks the tar of a tree into a folder of the receiver's own, as its verified bytes come.
 *
 * The promise: whatever the tar says, nothing is written outside of that folder, and no entry replaces another one. Every file is created
 * exclusively. No symbolic link is there while files and folders are made; links are made last, and only such as stay in the tree. There are never
 * more files or bytes than were announced.
 *
 * Small files are written in this thread, because switching to another one would cost more than the writing.
 */
import { closeSync, lstatSync, mkdirSync, openSync, symlinkSync, write, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { hasCode, setModified, setModifiedAt, whenDescriptorsAllow } from '../fs/index.ts'
import { numberedName, Problem, sameNamesMax, type TreeSize } from '../protocol/index.ts'
import { invalidTree, leadsInside, type TreeEntry, TreeParser, unnamedFoldersMax } from '../tree/index.ts'
import type { LinksLeftOut, TreeProgress } from './incoming-file.ts'
import { nameVariants } from './names.ts'
import { modeOf } from './node-partial-file.ts'
import { type LaterLine, LaterList } from './node-tree-later.ts'
import { entriesToldMax, joinPath, type RenamedEntry, safeTreeName, splitPath, TreeNames } from './tree-names.ts'

/** The mode of folders, minus the umask. */
const FOLDER_MODE = 0o755
/** The parts of larger files are written in another thread, because a disk that is busy would hold this one. */
const INLINE_BYTES_MAX = 1024 * 1024
/** How long small files are written before other work of the process gets a turn. */
const TURN_MS = 10
/** Errors of file systems for a name that they do not accept. */
const NAME_CODES = ['ENAMETOOLONG', 'EINVAL', 'EILSEQ']
const NO_LINK_CODES = ['EPERM', 'ENOSYS', 'ENOTSUP', 'EOPNOTSUPP']

/** The time that a sender writes who keeps the times back. */
const UNKNOWN_NS = 0n

const writeInThread = promisify(write)
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

export interface UnpackOptions {
  /** The tree's root folder. It exists and is empty. */
  readonly root: string
  /** The file for what is done last, where that is much. */
  readonly laterPath: string
  readonly announced: TreeSize
  readonly withTimes: boolean
  readonly isCaseBlind: boolean
}

/** A file whose content is being written. */
interface OpenFile {
  readonly descriptor: number
  readonly entry: TreeEntry
}

export class TreeUnpacker {
  readonly #options: UnpackOptions
  readonly #parser = new TreeParser()
  readonly #names: TreeNames
  readonly #later: LaterList
  #rootTimeNs: bigint | null = null
  #file: OpenFile | null = null
  #fileCount = 0
  /** The bytes of all files so far, as their headers say. */
  #announcedBytes = 0
  #contentBytes = 0
  #leftOutCount = 0
  readonly #leftOut: string[] = []
  /** Folders that were made because something lies in them. */
  #unnamedFolders = 0
  #path: string | null = null
  /** The folder of the entry that came last, on the disk: files of a folder come one after another. */
  #lastFolder: { readonly path: string; readonly onDisk: string } | null = null

  constructor(options: UnpackOptions) {
    this.#options = options
    this.#names = new TreeNames(options)
    this.#later = new LaterList(options.laterPath)
  }

  get progress(): TreeProgress {
    return { fileCount: this.#fileCount, contentBytes: this.#contentBytes, path: this.#path }
  }

  takeRenamed(): readonly RenamedEntry[] {
    return this.#names.takeRenamed()
  }

  get linksLeftOut(): LinksLeftOut {
    return { linkCount: this.#leftOutCount, paths: this.#leftOut }
  }

  /**
   * Unpacks the next bytes. Calls come one after another.
   *
   * @throws Problem `tree-invalid`, `name-refused`, `write-failed`; errors of the file system
   */
  async unpack(bytes: Uint8Array): Promise<void> {
    let turnEndMs = performance.now() + TURN_MS
    for (const event of this.#parser.push(bytes)) {
      if (event.type === 'entry') {
        const { entry } = event
        if (entry.kind === 'file') await this.#begin(entry)
        else if (entry.kind === 'folder') this.#folder(entry)
        else this.#link(entry)
      } else await this.#content(event.bytes, event.isLast)
      if (performance.now() > turnEndMs) {
        await nextTurn()
        turnEndMs = performance.now() + TURN_MS
      }
    }
  }

  /**
   * Makes the links, and gives the folders their times, once all is unpacked.
   *
   * @throws Problem `tree-invalid` when the tree is not whole or not as large as announced; like {@link unpack}
   */
  async finish(): Promise<void> {
    const { announced, root } = this.#options
    this.#parser.end()
    if (this.#fileCount !== announced.fileCount || this.#contentBytes !== announced.contentBytes) {
      throw invalidTree(null, 'the tree has fewer files or bytes than were announced')
    }
    for await (const line of this.#later.lines()) {
      if (line.kind === 'link' && !this.#makeLink(line)) this.#leaveOut(line.path)
    }
    for await (const line of this.#later.lines()) {
      if (line.kind === 'folder') this.#setTime(join(root, line.path), BigInt(line.mtime))
    }
    if (this.#rootTimeNs !== null) this.#setTime(root, this.#rootTimeNs)
  }

  /** Ends the writing. May be called again. */
  close(): void {
    if (this.#file !== null) closeSync(this.#file.descriptor)
    this.#file = null
    this.#later.close()
  }

  async #begin(entry: TreeEntry): Promise<void> {
    const { announced } = this.#options
    this.#fileCount++
    this.#announcedBytes += entry.sizeBytes
    if (this.#fileCount > announced.fileCount) throw invalidTree(entry.path, 'there are more files than were announced')
    if (this.#announcedBytes > announced.contentBytes) {
      throw invalidTree(entry.path, 'there are more bytes than were announced')
    }
    this.#path = entry.path
    const path = inRoot(entry.path)
    const descriptor = this.#create(path, (onDisk) => openSync(onDisk, 'wx', modeOf(entry)))
    this.#file = { descriptor: descriptor instanceof Promise ? await descriptor : descriptor, entry }
    if (entry.sizeBytes === 0) this.#end()
  }

  async #content(bytes: Uint8Array, isLast: boolean): Promise<void> {
    const file = this.#file
    if (file === null) throw new Error('no file is open')
    this.#contentBytes += bytes.length
    if (file.entry.sizeBytes <= INLINE_BYTES_MAX) {
      for (let at = 0; at < bytes.length; ) at += writeSync(file.descriptor, bytes, at)
    } else {
      for (let at = 0; at < bytes.length; ) at += (await writeInThread(file.descriptor, bytes, at)).bytesWritten
    }
    if (isLast) this.#end()
  }

  #end(): void {
    const file = this.#file
    if (file === null) return
    this.#file = null
    try {
      const { mtimeNs } = file.entry
      if (this.#options.withTimes && mtimeNs !== UNKNOWN_NS) setModified(file.descriptor, mtimeNs)
    } finally {
      closeSync(file.descriptor)
    }
  }

  #folder({ path, mtimeNs }: TreeEntry): void {
    if (!path.includes('/')) this.#rootTimeNs = mtimeNs
    else this.#later.add({ kind: 'folder', path: this.#makeFolder(inRoot(path)), mtime: String(mtimeNs) })
  }

  #link(entry: TreeEntry): void {
    const { target, mtimeNs } = entry
    if (target === null || !leadsInside(entry.path, target)) {
      throw invalidTree(entry.path, 'the link leads out of the tree')
    }
    const path = inRoot(entry.path)
    // Now, while no link is there: later the folder might be found through one, and the link be made elsewhere.
    const folder = this.#folderOnDisk(splitPath(path)[0])
    this.#later.add({ kind: 'link', path, folder, target, mtime: String(mtimeNs) })
  }

  /** @returns the path on the disk. A folder that is there already, because an entry in it or the folder itself came before, stays */
  #makeFolder(path: string): string {
    const [above, name] = splitPath(path)
    return this.#naming(path, this.#folderOnDisk(above), safeTreeName(name), true, (onDisk, relative) => {
      try {
        mkdirSync(onDisk, { mode: FOLDER_MODE })
      } catch (error) {
        const isSame = hasCode(error, 'EEXIST') && this.#names.isFolderOf(relative, path) && isFolder(onDisk)
        if (!isSame) throw error
      }
    }).relative
  }

  /** Creates the file of a path; first its folder, where no entry has said that there is one. */
  #create(path: string, open: (onDisk: string) => number): number | Promise<number> {
    const [above, name] = splitPath(path)
    const safe = safeTreeName(name)
    const create = (): number =>
      this.#naming(path, this.#folderOnDisk(above), safe, false, (onDisk) => open(onDisk)).result
    try {
      return create()
    } catch (error) {
      if (hasCode(error, 'EMFILE', 'ENFILE')) return whenDescriptorsAllow(create)
      throw error
    }
  }

  /** The path on the disk of a folder in the tree, which is made where it is missing. */
  #folderOnDisk(path: string): string {
    if (this.#lastFolder?.path === path) return this.#lastFolder.onDisk
    let onDisk = this.#names.folder(path)
    const isThere = path === '' || (this.#names.isFolderOf(onDisk, path) && isFolder(join(this.#options.root, onDisk)))
    if (!isThere) {
      // One path of 256 names would else make 255 folders.
      if (++this.#unnamedFolders > unnamedFoldersMax) {
        throw invalidTree(path, `more than ${unnamedFoldersMax} folders have no entry of their own`)
      }
      onDisk = this.#makeFolder(path)
    }
    this.#lastFolder = { path, onDisk }
    return onDisk
  }

  /**
   * Does a step with a name of its own: another number while the name is taken, a plainer name where the file system does not take it.
   *
   * @param above the folder on the disk, relative to the root
   */
  #naming<Result>(
    path: string,
    above: string,
    name: string,
    isOfFolder: boolean,
    act: (onDisk: string, relative: string) => Result,
  ): { readonly result: Result; readonly relative: string } {
    const { root } = this.#options
    let refusal: unknown = null
    for (const variant of variantsOf(name)) {
      const first = joinPath(above, variant)
      let relative = first
      for (;;) {
        try {
          const result = act(`${root}/${relative}`, relative)
          this.#names.note(path, relative, { isFolder: isOfFolder })
          return { result, relative }
        } catch (error) {
          if (hasCode(error, ...NAME_CODES)) {
            refusal = error
            break
          }
          if (hasCode(error, 'ENOTDIR')) throw invalidTree(path, 'a file stands where a folder should be')
          if (!hasCode(error, 'EEXIST')) throw error
          const number = this.#names.nextNumber(first, path)
          if (number > sameNamesMax) throw invalidTree(path, `more than ${sameNamesMax} entries have this name`)
          relative = joinPath(above, numberedName(variant, number, { isFolder: isOfFolder }))
        }
      }
    }
    const detail = `${path}: the receiver's file system takes no such name`
    throw new Problem('name-refused', { detail }, { cause: refusal })
  }

  /** @returns false where the file system has no symbolic links */
  #makeLink({ path, folder, target, mtime }: LaterLine & { readonly kind: 'link' }): boolean {
    const { root } = this.#options
    try {
      const make = (onDisk: string): void => symlinkSync(target, onDisk)
      const { relative } = this.#naming(path, folder, safeTreeName(splitPath(path)[1]), false, make)
      this.#setTime(join(root, relative), BigInt(mtime))
      return true
    } catch (error) {
      if (hasCode(error, ...NO_LINK_CODES)) return false
      throw error
    }
  }

  #leaveOut(path: string): void {
    this.#leftOutCount++
    if (this.#leftOutCount <= entriesToldMax) this.#leftOut.push(path)
  }

  #setTime(path: string, mtimeNs: bigint): void {
    if (this.#options.withTimes && mtimeNs !== UNKNOWN_NS) setModifiedAt(path, mtimeNs)
  }
}

/** The path without the root folder, whose name the metadata says. */
function inRoot(path: string): string {
  return path.slice(path.indexOf('/') + 1)
}

/** The name, and only where that is refused the others. */
function* variantsOf(name: string): Generator<string, void, undefined> {
  yield name
  yield* nameVariants(name).slice(1)
}

/** Whether a folder is there, and no link to one. */
function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}
