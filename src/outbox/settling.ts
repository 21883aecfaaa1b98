/**
 * Finds out which files of a drop folder are complete.
 *
 * A file is complete when its size and its time of modification have stayed the same for the settling time, by the monotonic clock: one that
 * is set changes nothing. Of a folder the same holds for all that is in it.
 *
 * A file that was renamed into place is complete at once: the file system has noted a change of its name or its attributes (ctime) that came
 * later than the last write (mtime), by the settling time at least. Both times come from the same clock, and each write sets both.
 */
import { accessSync, type BigIntStats, constants } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { digestDriver } from '../digests/index.ts'
import { hasCode, lstatOrNull } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { walkTree } from '../sender/node-tree-walk.ts'
import {
  isIncompleteBeside,
  isOwnName,
  isPartialName,
  isUnfinishedName,
  unfitReason,
  wholeNamesOf,
} from './left-alone.ts'

/** Files that are followed at a time. Of more, the oldest are; the others are found once these are gone. */
const FOLLOWED_MAX = 20_000
/** After this many files a look gives way to other work. */
const FILES_PER_TURN = 512
const REPLACEMENT = '\uFFFD'
const NS_PER_MS = 1_000_000n

/** A file or folder that is complete. */
export interface SettledFile {
  readonly name: string
  readonly state: string
  readonly isFolder: boolean
}

export interface Look {
  /** Oldest first. */
  readonly settled: readonly SettledFile[]
  /** Whether there are files that are not complete yet. */
  readonly hasUnsettled: boolean
  /** Milliseconds until the first of these may be complete, or an empty folder may have got a file; null without one. */
  readonly dueMs: number | null
}

interface Followed {
  readonly state: string
  readonly sinceMs: number
  /** The state of all that is in a folder. */
  readonly content: string | null
}

export interface SettlingOptions {
  readonly folder: string
  readonly settleMs: number
  /** Patterns, as in gitignore(5), of what is left out. */
  readonly isExcluded: (name: string, isFolder: boolean) => boolean
  readonly exclude: readonly string[]
  /** Called once for each name that cannot be sent, as long as it stays. */
  readonly onLeftAlone: (name: string, reason: string) => void
}

export class Settling {
  readonly #options: SettlingOptions
  #followed = new Map<string, Followed>()
  #leftAlone = new Map<string, string>()

  constructor(options: SettlingOptions) {
    this.#options = options
  }

  /** Looks at the folder once. @throws errors of the file system when it cannot be listed */
  async look(): Promise<Look> {
    const { settleMs } = this.#options
    const found = await this.#list()
    const followed = new Map<string, Followed>()
    const settled: SettledFile[] = []
    let dueMs: number | null = null
    let hasUnsettled = false
    for (const { name, stats } of found) {
      const one = await this.#follow(name, stats)
      if (one !== null) followed.set(name, one)
      // The system does not report what is put into a folder in this one.
      else if (!stats.isDirectory()) continue
      const leftMs = one === null ? settleMs : one.sinceMs + settleMs - performance.now()
      if (leftMs <= 0) settled.push({ name, state: stateOf(stats), isFolder: stats.isDirectory() })
      else dueMs = Math.min(dueMs ?? leftMs, leftMs)
      hasUnsettled ||= one !== null && leftMs > 0
    }
    this.#followed = followed
    return { settled, hasUnsettled, dueMs }
  }

  /** Says, once, why a file stays, and follows it no more in this look. */
  leaveAlone(name: string, reason: string): void {
    if (this.#leftAlone.get(name) === reason) return
    if (this.#leftAlone.size < FOLLOWED_MAX) this.#leftAlone.set(name, reason)
    this.#options.onLeftAlone(name, reason)
  }

  /** Says of what is not complete at the end that it stays for the next run. */
  leaveUnsettled(): void {
    const { settleMs } = this.#options
    for (const [name, { sinceMs }] of this.#followed) {
      if (performance.now() < sinceMs + settleMs) this.leaveAlone(name, 'it is still written to. The next run sends it')
    }
  }

  /** The oldest files and folders. */
  async #list(): Promise<{ name: string; stats: BigIntStats }[]> {
    const { folder, isExcluded } = this.#options
    let found: { name: string; stats: BigIntStats }[] = []
    const said = this.#leftAlone
    const gone = new Set(said.keys())
    const partials = new Map<string, string>()
    let count = 0
    for await (const { name } of await opendir(folder, { bufferSize: FILES_PER_TURN })) {
      if (++count % FILES_PER_TURN === 0) await setImmediate()
      for (const whole of wholeNamesOf(name)) partials.set(whole, name)
      if (isOwnName(name) || isUnfinishedName(name)) continue
      gone.delete(name)
      const stats = lstatOrNull(join(folder, name))
      if (stats === null) {
        if (name.includes(REPLACEMENT)) this.leaveAlone(name, 'its name is not UTF-8. Give it another one')
        continue
      }
      if (isExcluded(name, stats.isDirectory())) continue
      const unfit = unfitReason(join(folder, name), stats)
      if (unfit !== null) this.leaveAlone(name, unfit)
      else found.push({ name, stats })
      if (found.length === 2 * FOLLOWED_MAX) found = oldest(found)
    }
    for (const name of gone) said.delete(name)
    return oldest(partials.size === 0 ? found : found.filter((one) => this.#isWhole(one, partials)))
  }

  /** @param partials by the name of a file: what lies beside it, and may be what is missing of it */
  #isWhole(
    { name, stats }: { readonly name: string; readonly stats: BigIntStats },
    partials: ReadonlyMap<string, string>,
  ): boolean {
    const beside = partials.get(name)
    if (beside === undefined || !stats.isFile() || !isIncompleteBeside(beside, stats.size)) return true
    this.leaveAlone(name, `${beside} beside it says that it is not complete yet`)
    return false
  }

  /** @returns null for what is left alone for now */
  async #follow(name: string, stats: BigIntStats): Promise<Followed | null> {
    const { folder, settleMs } = this.#options
    const known = this.#followed.get(name)
    const state = stateOf(stats)
    const path = join(folder, name)
    if (!isReadable(path)) {
      this.leaveAlone(name, 'it may not be read')
      return null
    }
    const nowMs = performance.now()
    if (!stats.isDirectory()) {
      if (known?.state === state) return known
      const isMovedHere = stats.ctimeNs - stats.mtimeNs >= BigInt(Math.ceil(settleMs)) * NS_PER_MS
      const sinceMs = isMovedHere ? Number.NEGATIVE_INFINITY : nowMs
      return { state, sinceMs, content: null }
    }
    // A folder is gone through only when it may be complete.
    if (known?.state === state && nowMs < known.sinceMs + settleMs) return known
    const content = await this.#contentOf(name)
    if (content === null) return null
    if (known?.state === state && known.content === content) return known
    return { state, sinceMs: performance.now(), content }
  }

  /** The state of all that is in a folder; null where there is no file in it, or while it cannot be gone through. */
  async #contentOf(name: string): Promise<string | null> {
    const { folder, exclude } = this.#options
    try {
      const { digest, fileCount, partialName } = await treeStateOf(join(folder, name), name, exclude)
      if (partialName === null) return fileCount === 0 ? null : digest
      this.leaveAlone(
        name,
        `${partialName} in it is not complete yet. If it is, rename it, or leave it out by --exclude`,
      )
      return null
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      if (!hasCode(error.cause, 'ENOENT', 'ENOTDIR')) this.leaveAlone(name, error.message)
      return null
    }
  }
}

interface TreeState {
  readonly digest: string
  readonly fileCount: number
  /** The name of a file in it that a browser or a copier has not completed; null without one. */
  readonly partialName: string | null
}

/** The state of all that is in a folder. @throws Problem `source-unreadable` */
export async function treeStateOf(path: string, name: string, exclude: readonly string[]): Promise<TreeState> {
  const hasher = digestDriver('sha-256').create()
  const encoder = new TextEncoder()
  let entryCount = 0
  let fileCount = 0
  let partialName: string | null = null
  await walkTree(
    { root: name, from: path, withTimes: true, exclude },
    {
      found: ({ parent, name: entryName, kind, sizeBytes, mtimeNs, target }) => {
        if (kind !== 'folder') fileCount++
        if (isPartialName(entryName)) partialName = entryName
        const line = [parent, entryName, kind, sizeBytes, `${mtimeNs}`, target]
        hasher.update(encoder.encode(`${JSON.stringify(line)}\n`))
        return entryCount++
      },
      leftOut: () => {},
    },
  )
  return { digest: hasher.digest(), fileCount, partialName }
}

/** What stays the same as long as no program writes to a file. Some file systems show another inode at each look. */
export function stateOf({ size, mtimeNs }: BigIntStats): string {
  return `${size} ${mtimeNs}`
}

function oldest(found: { name: string; stats: BigIntStats }[]): { name: string; stats: BigIntStats }[] {
  found.sort((a, b) => {
    if (a.stats.mtimeNs !== b.stats.mtimeNs) return a.stats.mtimeNs < b.stats.mtimeNs ? -1 : 1
    return a.name < b.name ? -1 : 1
  })
  return found.slice(0, FOLLOWED_MAX)
}

function isReadable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES', 'EPERM')) return false
    throw error
  }
}
