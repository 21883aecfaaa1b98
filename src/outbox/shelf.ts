/**
 * Gives a file or folder its place in `sent/` or `failed/`, with small files beside it. Nothing is ever replaced: a name that is taken gets a
 * number, and where all numbers are taken, an id that no other file has.
 *
 * Each step can be repeated after a crash, and leads to the same place. The first small file reserves the number: it has a content that no
 * other transfer has. It is written under another name and gets its own by a link, so that a file of that name is either whole and ours, or another
 * one, which stays. Then the file gets its name by a link, which never replaces a file, and loses its old name. Where there are no hard
 * links, the small file is written in its place, and what a crash leaves of it counts as another file; an empty placeholder takes the name of
 * the file, which is renamed over it. A folder is renamed.
 */
import { type BigIntStats, linkSync, readFileSync } from 'node:fs'
import { rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { KeyedMutex } from '../async/index.ts'
import {
  createFile,
  hasCode,
  isSameFile,
  isWithoutLinks,
  lstatOrNull,
  removeFile,
  syncFolder,
  unfinishedPath,
} from '../fs/index.ts'
import { fileNameBytesMax, numberedName, Problem, sameNamesMax, shortenedText, utf8Length } from '../protocol/index.ts'

/** A small file that lies beside another one. */
export interface Beside {
  /** What its name ends with, after the name of the other: `.receipt.json`. */
  readonly suffix: string
  readonly text: string
}

/** A file or folder that gets its place. */
export interface Shelved {
  /** Where it lies. It may be gone: then an earlier call that was killed has moved it. */
  readonly from: string
  readonly name: string
  readonly isFolder: boolean
  /** Distinguishes it from all other files of its name. The same after a crash. */
  readonly id: string
}

const BESIDE_MODE = 0o666

/**
 * @param folder on the same file system. A killed call may leave a file of `unfinishedPath` in it
 * @returns where the file is now; null when an earlier call has moved it, and someone has taken it away since
 * @throws errors of the file system; Problem `folder-unavailable` where someone has given another file the name with the id, too
 */
export async function shelve(
  { from, name, isFolder, id }: Shelved,
  folder: string,
  beside: readonly Beside[],
): Promise<string | null> {
  const file = lstatOrNull(from)
  for (let number = 0; number <= sameNamesMax + 1; number++) {
    const distinction = number <= sameNamesMax ? number : id
    const named = (bytesMax: number): string =>
      number === 0 ? shortenedText(name, bytesMax) : numberedName(name, distinction, { isFolder, bytesMax })
    const to = join(folder, named(fileNameBytesMax))
    const notes = beside.map(({ suffix, text }) => ({
      // A long name is cut before its number: otherwise all numbers would have the same small file.
      path: join(folder, named(fileNameBytesMax - utf8Length(suffix)) + suffix),
      text,
    }))
    const place = await turns.run(to, () => (file === null ? placeOf(to, notes) : placeAt(from, file, to, notes)))
    if (place === 'taken') continue
    if (place !== null && file !== null) await syncFolder(folder)
    return place
  }
  if (file === null) return null
  throw new Problem('folder-unavailable', { detail: `there are ${sameNamesMax} files named ${name} in ${folder}` })
}

/** Several files of one name may come at once. Each takes its number before the next one looks. */
const turns = new KeyedMutex()

/** Where an earlier call has put a file. Only the content of the files beside tells whether this is its number. */
async function placeOf(to: string, notes: readonly Note[]): Promise<string | null | 'taken'> {
  if (notes.length > 0 && !notes.every(isWritten)) return 'taken'
  return lstatOrNull(to) === null ? null : to
}

async function placeAt(from: string, file: BigIntStats, to: string, notes: readonly Note[]): Promise<string | 'taken'> {
  const isOwn = notes.length > 0 && notes.some(isWritten)
  if (!isOwn && isTaken(to, file)) return 'taken'
  if ((await writeAllBeside(notes)) && (await moveTo(from, to, file, { mayBePlaceholder: isOwn }))) return to
  for (const note of notes) if (isWritten(note)) await removeFile(note.path)
  return 'taken'
}

interface Note {
  readonly path: string
  readonly text: string
}

/** @returns false when another file has one of the names */
async function writeAllBeside(notes: readonly Note[]): Promise<boolean> {
  for (const note of notes) if (!isWritten(note) && !(await writeBeside(note))) return false
  return true
}

/** @returns false when another file has the name */
async function writeBeside(note: Note): Promise<boolean> {
  const unfinished = unfinishedPath(dirname(note.path))
  await createFile(unfinished, [Buffer.from(note.text)], BESIDE_MODE)
  try {
    linkSync(unfinished, note.path)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    if (!isWithoutLinks(error)) throw error
    return writeInPlace(note)
  } finally {
    await removeFile(unfinished)
  }
}

/** Where there are no hard links. @returns false when another file has the name */
async function writeInPlace({ path, text }: Note): Promise<boolean> {
  try {
    await createFile(path, [Buffer.from(text)], BESIDE_MODE)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false
    throw error
  }
}

function isWritten({ path, text }: Note): boolean {
  try {
    const stats = lstatOrNull(path)
    const isOfSize = stats?.isFile() === true && stats.size === BigInt(utf8Length(text))
    return isOfSize && readFileSync(path, 'utf8') === text
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'EACCES', 'EPERM')) return false
    throw error
  }
}

/** @returns false when the name is taken */
async function moveTo(
  from: string,
  to: string,
  file: BigIntStats,
  { mayBePlaceholder }: { mayBePlaceholder: boolean },
): Promise<boolean> {
  if (file.isDirectory()) return moveFolder(from, to)
  try {
    linkSync(from, to)
    await unlink(from)
    return true
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) {
      if (!isWithoutLinks(error)) throw error
      return moveOver(from, to, { mayBePlaceholder })
    }
    if (!isSameFile(lstatOrNull(to), file)) return moveOver(from, to, { mayBePlaceholder })
    await unlink(from)
    return true
  }
}

/** A rename replaces no file by a folder, and of folders only an empty one. */
async function moveFolder(from: string, to: string): Promise<boolean> {
  if (lstatOrNull(to) !== null) return false
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'ENOTDIR')) return false
    throw error
  }
}

/** Renames a file over an empty placeholder. @returns false when the name is taken */
async function moveOver(
  from: string,
  to: string,
  { mayBePlaceholder }: { mayBePlaceholder: boolean },
): Promise<boolean> {
  try {
    await createFile(to, [], BESIDE_MODE)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    const there = lstatOrNull(to)
    const isPlaceholder = mayBePlaceholder && there?.isFile() === true && there.size === 0n
    if (!isPlaceholder) return false
  }
  try {
    await rename(from, to)
    return true
  } catch (error) {
    await unlink(to).catch(() => {})
    throw error
  }
}

function isTaken(to: string, file: BigIntStats): boolean {
  const there = lstatOrNull(to)
  return there !== null && !isSameFile(there, file)
}
