/**
 * Finds out by trial what the file system of a folder can do. The name of a file system tells too little: sshfs has hard links but
 * shows a link count of 1, mergerfs gives each name an inode of its own, rclone answers a link with EIO.
 *
 * Publishing relies only on what is tried here: exclusive creation of a name, and a rename that replaces a file. Where link count
 * and inode of both names are right, hard links save one step. Elsewhere publishing does not use them.
 */
import { randomBytes } from 'node:crypto'
import { link, readdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { createFile, hasCode, isNoRoom, isSameFile, isWithoutLinks, lstatOrNull, removeFile } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'
import { inboxFolderName } from './names.ts'

const PROBE_PREFIX = `${inboxFolderName}-probe-`
const PROBE_NAME = /^\.golooader-probe-[0-9a-f]{12}$/
const PROBE_MODE = 0o600
const FIRST_TEXT = 'golooader: the first text of a probe\n'
const SECOND_TEXT = 'golooader: the second one\n'

export interface FolderAbilities {
  /** Whether hard links can be made, and their link count and inode are right. */
  readonly hasHonestLinks: boolean
}

/**
 * Tries all steps of publishing in the two folders that publishing uses: create, sync, link, count links, rename over a file, create
 * exclusively, list and remove. Each start tries again.
 *
 * @param folder where files are published
 * @param own the receiver's own folder in it, where files are until then
 * @throws Problem `folder-unavailable` that names the missing ability; errors of the file system
 */
export async function probeFolder(folder: string, own: string): Promise<FolderAbilities> {
  const random = randomBytes(6).toString('hex')
  const unfinished = join(own, `.${random}.partial`)
  const name = join(folder, `${PROBE_PREFIX}${random}`)
  try {
    await create(unfinished, FIRST_TEXT)
    const hasHonestLinks = await tryLinks(unfinished, name)
    await tryRenames(unfinished, name)
    await tryList(folder, `${PROBE_PREFIX}${random}`)
    await removeFile(name)
    if (isSeen(name)) refuse('does not remove a file')
    return { hasHonestLinks }
  } catch (error) {
    // Deliveries report a full disk. Until the folder can be tried, links are not used.
    if (isNoRoom(error)) return { hasHonestLinks: false }
    throw error
  } finally {
    await removeFile(unfinished)
    await removeFile(name)
  }
}

/** Removes both names again. @returns whether links work as they should */
async function tryLinks(unfinished: string, name: string): Promise<boolean> {
  try {
    await link(unfinished, name)
  } catch (error) {
    if (!isWithoutLinks(error)) throw error
    await removeFile(unfinished)
    return false
  }
  const [one, other] = [lstatOrNull(unfinished), lstatOrNull(name)]
  const isCounted = one?.nlink === 2n && other?.nlink === 2n
  const isExclusive = await link(unfinished, name).then(
    () => false,
    (error: unknown) => hasCode(error, 'EEXIST'),
  )
  await removeFile(unfinished)
  const isCountedDown = lstatOrNull(name)?.nlink === 1n
  await removeFile(name)
  return isSameFile(one, other) && isCounted && isExclusive && isCountedDown
}

/** Leaves only `name`. */
async function tryRenames(unfinished: string, name: string): Promise<void> {
  await create(name, FIRST_TEXT)
  const isExclusive = await create(name, SECOND_TEXT).then(
    () => false,
    (error: unknown) => hasCode(error, 'EEXIST'),
  )
  if (!isExclusive) refuse('does not keep a second file from taking a name')
  await create(unfinished, SECOND_TEXT)
  await rename(unfinished, name)
  if (isSeen(unfinished) || (await readFile(name, 'utf8')) !== SECOND_TEXT)
    refuse('does not replace a file by renaming')
}

/** Also removes what a killed start left. */
async function tryList(folder: string, name: string): Promise<void> {
  const names = (await readdir(folder)).filter((one) => PROBE_NAME.test(one))
  if (!names.includes(name)) refuse('does not list a file that is there')
  for (const left of names) if (left !== name) await removeFile(join(folder, left))
}

function create(path: string, text: string): Promise<void> {
  return createFile(path, [Buffer.from(text)], PROBE_MODE)
}

function isSeen(path: string): boolean {
  return lstatOrNull(path) !== null
}

function refuse(what: string): never {
  throw new Problem('folder-unavailable', { detail: `its file system ${what}, so no file can be received safely` })
}
