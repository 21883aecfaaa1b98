/** The page's inbox and its files, one call at a time, with plain data. */
import { openDatabase } from '../../../src/page/platform/database.ts'
import type { FileKeeping } from '../../../src/page/platform/inbox/open-staging.ts'
import { openPageInbox, type PageInbox } from '../../../src/page/platform/inbox/page-inbox.ts'
import type { Unpacked } from '../../../src/page/platform/inbox/tree-progress.ts'
import { Problem, type TreeSize, toHex } from '../../../src/protocol/index.ts'
import type { Clocks, IncomingFile, PartBody, PartialLayout, Published } from '../../../src/receiver/index.ts'
import type { HeldInFile, PlainPart } from '../../suites/inbox-calls.ts'

const SLICE_BYTES = 70_000
const IDLE_MS = 300

const { signal } = new AbortController()
const files = new Map<string, IncomingFile<PartBody>>()
const lapses: (string | null)[] = []
let opening: Promise<PageInbox> | null = null
let fileKeeping: FileKeeping = 'files'

function inbox(): Promise<PageInbox> {
  opening ??= openDatabase(location.href).then((database) =>
    openPageInbox({ database, portalUrl: location.href, fileKeeping, onFolderLapse: (lapse) => lapses.push(lapse) }),
  )
  return opening
}

/** Selects the staging store. Call it first. */
export function keepIn(keeping: FileKeeping): void {
  fileKeeping = keeping
}

function fileOf(transferId: string): IncomingFile<PartBody> {
  const file = files.get(transferId)
  if (file === undefined) throw new Error('it is not open')
  return file
}

export async function tidy(clocks: Clocks): Promise<number> {
  return (await inbox()).tidy(clocks)
}

export async function hasBegun(transferId: string): Promise<boolean> {
  return (await inbox()).hasBegun(transferId)
}

export async function open(transferId: string, layout: PartialLayout): Promise<HeldInFile> {
  await files.get(transferId)?.close()
  files.set(transferId, await (await inbox()).open(transferId, layout, signal))
  return look(transferId)
}

/** The whole tar of a tree is here, verified. */
export async function bringTree(transferId: string, tar: Uint8Array<ArrayBuffer>, tree: TreeSize): Promise<void> {
  const layout = { sizeBytes: tar.length, partSizeBytes: tar.length, digestAlgorithm: 'sha-256' } as const
  const traits = { mediaType: 'application/x-tar', mtimeNs: null, isExecutable: false, keepsTimes: true, tree }
  files.set(transferId, await (await inbox()).open(transferId, layout, signal, traits))
  const digest = toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', tar)))
  const part = { partNumber: 1, digestAlgorithm: 'sha-256', lengthBytes: tar.length, seal: null, bytes: tar } as const
  const problem = await take(transferId, { ...part, digest })
  if (problem !== null) throw new Error(problem)
}

/** Publishes it. @returns its name and what is left out; or the code of the problem */
export async function commitTree(transferId: string, name: string): Promise<(Unpacked & { name: string }) | string> {
  try {
    const published = await commit(transferId, name, 'ab'.repeat(32))
    const unpacked = (await (await inbox()).unpacked(transferId)) ?? { linkCount: 0, renamedCount: 0, renamed: [] }
    return { ...unpacked, name: published.name }
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
}

/** The folder that a person chose. Files of the origin have the same interface. */
async function chosen(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle('chosen by a person', { create: true })
}

export async function chooseFolder(): Promise<void> {
  Object.assign(globalThis, { showDirectoryPicker: chosen })
  await (await inbox()).folder.choose()
}

export async function folderLapses(): Promise<(string | null)[]> {
  return lapses
}

export async function askAgainForFolder(): Promise<boolean> {
  return (await inbox()).folder.askAgain()
}

export async function putIntoFolder(path: string, text: string): Promise<void> {
  const names = path.split('/')
  const last = names.pop() ?? ''
  let folder = await chosen()
  for (const name of names) folder = await folder.getDirectoryHandle(name, { create: true })
  const writable = await (await folder.getFileHandle(last, { create: true })).createWritable()
  await writable.write(text)
  await writable.close()
}

/** All that is in the chosen folder: paths, and the text of files; null for folders. */
export async function inFolder(): Promise<Record<string, string | null>> {
  const found: Record<string, string | null> = {}
  const visit = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      const path = `${above}${name}`
      found[path] = null
      if (handle instanceof FileSystemDirectoryHandle) await visit(handle, `${path}/`)
      else found[path] = await (await (handle as FileSystemFileHandle).getFile()).text()
    }
  }
  await visit(await chosen(), '')
  return found
}

/** The n-th write into the chosen folder fails, as when the disk is full. */
export async function failAtWrite(number: number, reason: string): Promise<void> {
  const { prototype } = FileSystemFileHandle
  const { createWritable } = prototype
  let count = 0
  prototype.createWritable = async function (...args) {
    if (++count === number) throw new DOMException('the test says so', reason)
    return createWritable.apply(this, args)
  }
}

export async function look(transferId: string): Promise<HeldInFile> {
  const { held, heldBytes } = fileOf(transferId)
  return { held: [...held], heldBytes }
}

export async function take(transferId: string, { bytes, isStalling, ...part }: PlainPart): Promise<string | null> {
  try {
    const body = slices(bytes, isStalling === true)
    await fileOf(transferId).receivePart({ ...part, body }, { idleMs: IDLE_MS, signal })
    return null
  } catch (error) {
    if (error instanceof Problem) return error.code
    throw error
  }
}

async function* slices(bytes: Uint8Array, isStalling: boolean): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) yield bytes.slice(at, at + SLICE_BYTES)
  if (isStalling) await new Promise(() => {})
}

export async function contentDigests(transferId: string): Promise<string[]> {
  return [...fileOf(transferId).contentDigests()]
}

export async function sized(transferId: string, sizeBytes: number): Promise<void> {
  await fileOf(transferId).sized?.(sizeBytes)
}

export async function startOver(transferId: string): Promise<void> {
  await fileOf(transferId).startOver()
}

export async function commit(transferId: string, name: string, manifestDigest: string): Promise<Published> {
  const finished = fileOf(transferId).finish()
  return (await inbox()).commit(transferId, name, { manifestDigest, receipt: null }, finished, signal)
}

export async function published(transferId: string): Promise<Published | null> {
  return (await inbox()).published(transferId, signal)
}

export async function answered(transferId: string): Promise<void> {
  await (await inbox()).answered(transferId)
}

export async function discard(transferId: string): Promise<void> {
  await (await inbox()).discard(transferId)
}

export async function unfinished(): Promise<string[]> {
  return (await inbox()).unfinished()
}

export async function contentOf(transferId: string): Promise<string> {
  const file = await (await inbox()).keptFile(transferId)
  return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer())))
}

export async function close(transferId: string): Promise<void> {
  await fileOf(transferId).close()
}

/** Removes the file and keeps its records. */
export async function lose(transferId: string): Promise<void> {
  const root = await navigator.storage.getDirectory()
  for await (const folder of root.values()) {
    if (folder.kind === 'directory') await (folder as FileSystemDirectoryHandle).removeEntry(transferId)
  }
}

export async function spoil(transferId: string, atByte: number): Promise<void> {
  if (fileKeeping === 'database') return spoilRow(transferId, atByte)
  const root = await navigator.storage.getDirectory()
  for await (const folder of root.values()) {
    if (folder.kind !== 'directory') continue
    const handle = await (folder as FileSystemDirectoryHandle).getFileHandle(transferId)
    const [byte = 0] = new Uint8Array(await (await handle.getFile()).slice(atByte, atByte + 1).arrayBuffer())
    const writable = await handle.createWritable({ keepExistingData: true })
    await writable.write({ type: 'write', position: atByte, data: Uint8Array.of(byte ^ 1) })
    await writable.close()
  }
}

async function spoilRow(transferId: string, atByte: number): Promise<void> {
  const database = await openDatabase(location.href)
  const upTo = IDBKeyRange.bound(['inbox', transferId, 0], ['inbox', transferId, atByte])
  const cursor = await database.transaction('staged', 'readwrite').store.openCursor(upTo, 'prev')
  if (cursor === null || typeof cursor.value === 'number') throw new Error('there is no such byte')
  const row = cursor.value.slice()
  const at = atByte - cursor.key[2]
  row[at] = (row[at] ?? 0) ^ 1
  await cursor.update(row)
  database.close()
}

/** Sets the time of the last change into the past. */
export async function makeOlder(transferId: string, ageMs: number): Promise<void> {
  const database = await openDatabase(location.href)
  const key = `file/${transferId}`
  const arrival = (await database.get('arrivals', key)) as { touchedAtMs: number }
  await database.put('arrivals', { ...arrival, touchedAtMs: arrival.touchedAtMs - ageMs }, key)
  database.close()
}

/** All traces of arrivals: file names and record keys. */
export async function everything(): Promise<string[]> {
  const database = await openDatabase(location.href)
  const found: string[] = await database.getAllKeys('arrivals')
  database.close()
  for await (const folder of (await navigator.storage.getDirectory()).values()) {
    if (folder.kind === 'directory')
      for await (const name of (folder as FileSystemDirectoryHandle).keys()) found.push(name)
  }
  return found
}
