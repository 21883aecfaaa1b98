/**
 * Where the entries of a tree are written: names that are safe here, without two entries that meet in one place.
 *
 * Each name of a path goes through the same table as the name of a file, except that a dot at the start stays: it hides something only in a
 * folder that is new. A name that another entry has already gets a number, as the name of a file does. Names on the disk decide, so that
 * what one file system tells apart stays as it is there, and meets on another one.
 *
 * Only changed names are remembered here, and no entry that is written under its own name.
 */
import type { Problem } from '../protocol/index.ts'
import { invalidTree } from '../tree/index.ts'
import { safeNameInTree } from './names.ts'

/** An entry that is written under another name than its own. Both are paths in the tree. */
export interface RenamedEntry {
  readonly path: string
  readonly writtenAs: string
}

/** More changed names would take too much memory. No tree has as many by chance. */
const renamedMax = 100_000
/** The entries of a tree that are told one by one, of those with changed names and of those that are left out. */
export const entriesToldMax = 100

export class TreeNames {
  /** Folders that are written elsewhere than their path says: path in the tree -> path on the disk, both without the root folder. */
  readonly #folders = new Map<string, string>()
  /** The opposite. */
  readonly #owners = new Map<string, string>()
  /** The next number for a name that is taken: by the path on the disk without a number. */
  readonly #numbers = new Map<string, number>()
  /** On a disk that ignores case, all folders by their lower-case paths; null on any other disk. */
  readonly #folded: Map<string, string> | null
  #renamed = 0
  #untold: RenamedEntry[] = []

  constructor({ isCaseBlind }: { readonly isCaseBlind: boolean }) {
    this.#folded = isCaseBlind ? new Map() : null
  }

  /** How many entries have other names than their own. */
  get renamedCount(): number {
    return this.#renamed
  }

  /** Where the folder of this path is on the disk. Both paths are without the root folder, which is the empty path. */
  folder(path: string): string {
    if (this.#folders.size === 0 || path === '') return path
    const changed = this.#folders.get(path)
    if (changed !== undefined) return changed
    const [above, name] = splitPath(path)
    return joinPath(this.folder(above), name)
  }

  /** Whether the folder on the disk is the one of this path. */
  isFolderOf(onDisk: string, path: string): boolean {
    const owner = this.#owners.get(onDisk)
    if (owner !== undefined) return owner === path
    if (this.#folded !== null && this.#folded.get(onDisk.toLowerCase()) !== onDisk) return false
    return onDisk === this.#unchanged(path)
  }

  /** @returns the number that was not given yet for a name that is taken. @throws Problem `tree-invalid` when there are too many */
  nextNumber(onDisk: string, path: string): number {
    const number = (this.#numbers.get(onDisk) ?? 0) + 1
    if (this.#numbers.size >= renamedMax) throw tooMany(path)
    this.#numbers.set(onDisk, number)
    return number
  }

  /** Notes where an entry was written. @throws Problem `tree-invalid` when too many have other names than their own */
  note(path: string, onDisk: string, { isFolder }: { readonly isFolder: boolean }): void {
    if (isFolder) this.#folded?.set(onDisk.toLowerCase(), onDisk)
    if (onDisk === this.#unchanged(path)) return
    if (++this.#renamed > renamedMax) throw tooMany(path)
    if (this.#renamed <= entriesToldMax) this.#untold.push({ path, writtenAs: onDisk })
    if (!isFolder) return
    this.#folders.set(path, onDisk)
    this.#owners.set(onDisk, path)
  }

  /** Where an entry is on the disk when its own name is not changed. */
  #unchanged(path: string): string {
    const [above, name] = splitPath(path)
    return joinPath(this.folder(above), name)
  }

  /** The changed names since the last call. */
  takeRenamed(): readonly RenamedEntry[] {
    const untold = this.#untold
    if (untold.length > 0) this.#untold = []
    return untold
  }
}

function tooMany(path: string): Problem {
  return invalidTree(path, `more than ${renamedMax} names cannot be written as they are`)
}

export function splitPath(path: string): [above: string, name: string] {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)]
}

export function joinPath(above: string, name: string): string {
  return above === '' ? name : `${above}/${name}`
}

/** A safe name for one name of a path. */
export function safeTreeName(name: string): string {
  return PLAIN.test(name) && !UNUSUAL.test(name) ? name : safeNameInTree(name)
}

/** Names that the table leaves as they are, which most names are. */
const PLAIN = /^[A-Za-z0-9_.][A-Za-z0-9_.+=@~ -]{0,200}$/
/** A blank or dot at the end, the names of devices, and those of the receiver. */
const UNUSUAL = /[. ]$|^(?:con|prn|aux|nul|com|lpt|clock|\.golooader)/i
