/**
 * A folder that a person has dropped or chosen in the browser: what is in it, in the order of a tree, and a `File` for each file.
 *
 * A browser shows neither the times of folders nor whether a file is a program. A folder gets the time of the newest file in it, so that the
 * same folder, chosen again, makes the same tar.
 */
import { digestDriver } from '../../digests/index.ts'
import { Problem, type TreeSize } from '../../protocol/index.ts'
import { TreeIndex, treeDepthMax, treePathBytesMax } from '../../tree/index.ts'

/** What a person chose: a file or a folder. Both have a name. */
export type Picked = File | PickedFolder

/** The content of a folder, by names. */
export type FolderContent = Map<string, File | FolderContent>

/** Written out, because what reads its patterns is loaded only with such a file. */
const IGNORE_FILE = '.golooaderignore'
const NS_PER_MS = 1_000_000n
/** How many entries are hashed at a time. */
const HASHED_AT_ONCE = 512
const encoder = new TextEncoder()
const nextTurn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve))

export class PickedFolder {
  readonly index = new TreeIndex()
  /** How many files and folders are left out, because a file `.golooaderignore` names them. */
  ignoredCount = 0
  readonly #files: (File | null)[] = []
  #digest = ''

  private constructor() {}

  /** @throws Problem `source-unreadable` for what no tree can hold */
  static async of(name: string, found: FolderContent): Promise<PickedFolder> {
    const folder = new PickedFolder()
    let content = found
    if (hasPatterns(found)) {
      const { withoutIgnored } = await import('./ignored.ts')
      const { kept, ignoredCount } = await withoutIgnored(found)
      content = kept
      folder.ignoredCount = ignoredCount
    }
    folder.#addFolder(null, name, content, newestMs(content) ?? 0)
    folder.#digest = await folder.#digestNow()
    return folder
  }

  get name(): string {
    return this.index.name(0)
  }

  get size(): TreeSize {
    const { fileCount, contentBytes } = this.index
    return { fileCount, contentBytes }
  }

  /** A digest of all that the browser shows of the folder: names, sizes and times. */
  get digest(): string {
    return this.#digest
  }

  /** The file of an entry; null for a folder. */
  file(entry: number): File | null {
    return this.#files[entry] ?? null
  }

  /** What lies at an offset of the tar: how many files are complete before it, and the path of the file there, if it is one. */
  at(offsetBytes: number): { readonly doneCount: number; readonly path: string | null } {
    if (offsetBytes >= this.index.sizeBytes) return { doneCount: this.index.fileCount, path: null }
    const entry = this.index.entryAt(offsetBytes)
    const path = this.file(entry) === null ? null : this.index.path(entry)
    return { doneCount: this.index.filesBefore(entry), path }
  }

  #addFolder(parent: number | null, name: string, content: FolderContent, newestInTreeMs: number): void {
    const timeMs = newestMs(content) ?? newestInTreeMs
    const entry = this.#add(parent, name, null, timeMs)
    for (const [childName, child] of [...content].sort(([one], [other]) => inOrderOfUtf8(one, other))) {
      if (child instanceof Map) this.#addFolder(entry, childName, child, newestInTreeMs)
      else this.#add(entry, childName, child, child.lastModified)
    }
  }

  #add(parent: number | null, name: string, file: File | null, timeMs: number): number {
    const kind = file === null ? 'folder' : 'file'
    const sizeBytes = file?.size ?? 0
    const mtimeNs = BigInt(timeMs) * NS_PER_MS
    const about = { kind, sizeBytes, mtimeNs, isExecutable: false, target: null } as const
    const entry = this.index.add({ parent, name, ...about })
    this.#files[entry] = file
    if (this.index.pathBytes(entry) > treePathBytesMax)
      throw this.#unfit(entry, `longer than ${treePathBytesMax} bytes`)
    if (this.#depth(entry) > treeDepthMax) throw this.#unfit(entry, `deeper than ${treeDepthMax} names`)
    return entry
  }

  #depth(entry: number): number {
    let depth = 1
    for (let above = this.index.parent(entry); above !== null; above = this.index.parent(above)) depth++
    return depth
  }

  #unfit(entry: number, how: string): Problem {
    const path = this.index.path(entry)
    return new Problem('source-unreadable', { path, detail: `${path}: the path is ${how}` })
  }

  async #digestNow(): Promise<string> {
    const hasher = digestDriver('sha-256').create()
    for (let from = 0; from < this.index.length; from += HASHED_AT_ONCE) {
      const lines: string[] = []
      for (let entry = from; entry < Math.min(from + HASHED_AT_ONCE, this.index.length); entry++) {
        const { index } = this
        const about = [index.parent(entry), index.name(entry), index.kind(entry), index.size(entry)]
        lines.push(JSON.stringify([...about, String(index.time(entry))]))
      }
      hasher.update(encoder.encode(lines.join('\n')))
      await nextTurn()
    }
    return hasher.digest()
  }
}

/** Whether a file in a folder, or below it, says what is left out. */
function hasPatterns(content: FolderContent): boolean {
  for (const [name, child] of content) {
    if (child instanceof Map ? hasPatterns(child) : name === IGNORE_FILE) return true
  }
  return false
}

/** The newest time of the files in a folder and below; null where there are none. */
function newestMs(content: FolderContent): number | null {
  let newest: number | null = null
  for (const child of content.values()) {
    const ms = child instanceof Map ? newestMs(child) : child.lastModified
    if (ms !== null && (newest === null || ms > newest)) newest = ms
  }
  return newest
}

/** Compares texts in the order of their UTF-8, which is that of their code points. */
function inOrderOfUtf8(one: string, other: string): number {
  const length = Math.min(one.length, other.length)
  for (let at = 0; at < length; at++) {
    const difference = rank(one.charCodeAt(at)) - rank(other.charCodeAt(at))
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

/** Pairs of units stand for code points above all others. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800
}
