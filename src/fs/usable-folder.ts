/**
 * Whether the file system of a folder supports the steps that the program's promises rest on. The program tries those steps on a
 * file of its own. It does not trust the name or the flags of a file system.
 */
import { type FileHandle, mkdtemp, open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Problem } from '../protocol/index.ts'
import { whenDescriptorsAllow } from './descriptors.ts'
import { isNoRoom, isOlder, makeFolder, syncFolder } from './durable.ts'
import { hasCode } from './error-code.ts'
import { fileErrorText } from './file-error.ts'
import { lockFolder } from './folder-lock.ts'

/** A step in an empty folder, and the name of the ability that is missing where the step fails. */
export type FolderStep = readonly [lack: string, act: (folder: string) => Promise<void>]

export interface FolderUse {
  /** A sentence without a full stop that tells the operator what to do when the folder cannot be used. */
  readonly advice: string
  /** Steps beyond those that every folder has to support. */
  readonly alsoTries?: readonly FolderStep[]
}

/** The name of whatever is made to try a folder begins so. */
export const probePrefix = '.probe-'
/** A killed process left an older probe folder behind. */
const PROBE_MS_MAX = 3_600_000
/** More than a block of most file systems, so that a full disk is noticed. */
const CONTENT_BYTES = 8 * 1024
const SECOND_BYTE = 0x5a
/** https://sqlite.org/rescode.html: the lower eight bits of a code tell its kind. */
const SQLITE_KIND_BITS = 0xff
const SQLITE_FULL = 13

const fileSteps: readonly FolderStep[] = [
  ['create, write and sync a file', createSynced],
  ['change a file in its middle', rewrite],
  ['rename a file over another one', replaceOther],
  ['sync a folder', syncFolder],
  ['lock a file', lockTwice],
]

/**
 * Tries a folder, at each start again. Nothing stays in it.
 *
 * @param folder exists
 * @throws Problem `folder-unavailable` with the path, what it cannot do, and what to do about it
 */
export async function requireUsableFolder(folder: string, use: FolderUse): Promise<void> {
  await removeLeftovers(folder)
  let lack = 'take a folder'
  let probe: string | null = null
  try {
    probe = await mkdtemp(join(folder, probePrefix))
    for (const [next, act] of [...fileSteps, ...(use.alsoTries ?? [])]) {
      lack = next
      await act(probe)
    }
  } catch (cause) {
    throw folderProblem(folder, use, lack, cause)
  } finally {
    // If this fails, a later start removes the folder.
    if (probe !== null) await rm(probe, { recursive: true, force: true }).catch(() => {})
  }
}

/**
 * Makes a folder with its missing parents, and tries it.
 *
 * @throws Problem `folder-unavailable`
 */
export async function makeUsableFolder(folder: string, use: FolderUse): Promise<void> {
  await makeFolder(folder).catch((cause: unknown) => {
    throw folderProblem(folder, use, 'take a folder', cause)
  })
  await requireUsableFolder(folder, use)
}

/** @returns the refusal of a folder for an error of the file system or of SQLite; any other error as it is */
export function folderProblem(folder: string, { advice }: FolderUse, lack: string, cause: unknown): unknown {
  if (!(cause instanceof Error)) return cause
  if (isNoRoom(cause) || isDatabaseFull(cause)) {
    const detail = `there is no room left for ${folder}. Make room, then run the same command again`
    return new Problem('folder-unavailable', { detail }, { cause })
  }
  const what = whatIsWrong(folder, cause) ?? `${folder} lies on a file system that cannot ${lack} (${saidBy(cause)})`
  return new Problem('folder-unavailable', { detail: `${what}. ${advice}` }, { cause })
}

/** @returns why the folder itself cannot be used; null when its file system lacks an ability */
function whatIsWrong(folder: string, cause: Error): string | null {
  if (!('syscall' in cause) || (cause.syscall !== 'mkdir' && cause.syscall !== 'mkdtemp')) return null
  if (hasCode(cause, 'ENOTDIR', 'EEXIST')) return `${folder} is not a folder`
  const isPlain = hasCode(cause, 'EROFS', 'EACCES', 'EPERM', 'ENOENT', 'ELOOP', 'ENAMETOOLONG')
  return isPlain ? fileErrorText(folder, cause) : null
}

function isDatabaseFull(error: Error): boolean {
  return 'errcode' in error && (Number(error.errcode) & SQLITE_KIND_BITS) === SQLITE_FULL
}

/** The system's code where there is one: its message names a file that is gone by now. */
function saidBy(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error
  return 'syscall' in cause && 'code' in cause ? String(cause.code) : cause.message
}

async function removeLeftovers(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(probePrefix)) continue
    const path = join(folder, name)
    if (!isOlder(path, PROBE_MS_MAX)) continue
    await rm(path, { recursive: true, force: true }).catch(() => {})
  }
}

async function withFile(path: string, flags: string, act: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await whenDescriptorsAllow(() => open(path, flags))
  try {
    await act(handle)
  } finally {
    await handle.close()
  }
}

const contentFile = (folder: string): string => join(folder, 'content')

function createSynced(folder: string): Promise<void> {
  return withFile(contentFile(folder), 'wx', async (handle) => {
    await handle.write(Buffer.alloc(CONTENT_BYTES, 1), 0, CONTENT_BYTES, 0)
    await handle.sync()
  })
}

function rewrite(folder: string): Promise<void> {
  return withFile(contentFile(folder), 'r+', async (handle) => {
    const at = CONTENT_BYTES / 2
    await handle.write(Buffer.of(SECOND_BYTE), 0, 1, at)
    await handle.datasync()
    const read = Buffer.alloc(CONTENT_BYTES)
    const { bytesRead } = await handle.read(read, 0, CONTENT_BYTES, 0)
    if (bytesRead !== CONTENT_BYTES || read[at] !== SECOND_BYTE || read[at - 1] !== 1) {
      throw new Error('it reads otherwise than it was written')
    }
  })
}

async function replaceOther(folder: string): Promise<void> {
  const other = join(folder, 'other')
  await writeFile(other, 'other', { flag: 'wx' })
  await rename(contentFile(folder), other)
  const { size } = await stat(other)
  if (size !== CONTENT_BYTES) throw new Error('the old file is still there')
}

/** The second lock has to be refused: elsewhere two processes would both have the folder. */
async function lockTwice(folder: string): Promise<void> {
  const file = join(folder, 'lock')
  const lock = await lockFolder(folder, file)
  try {
    const second = await lockFolder(folder, file).catch(() => null)
    if (second === null) return
    await second.release()
  } finally {
    await lock.release()
  }
  throw new Error('it is locked twice')
}
