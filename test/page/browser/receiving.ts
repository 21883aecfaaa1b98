/** The page's receiver without its views. Tests make the decisions of the user. */

import { PortalClient } from '../../../src/client/index.ts'
import { pageTransport } from '../../../src/page/platform/bulk-fetcher.ts'
import { PageContacts } from '../../../src/page/platform/contacts.ts'
import { openDatabase } from '../../../src/page/platform/database.ts'
import { download as downloadFile } from '../../../src/page/platform/inbox/download.ts'
import { openPageInbox, type PageInbox } from '../../../src/page/platform/inbox/page-inbox.ts'
import { receiveHere } from '../../../src/page/platform/inbox/receive-here.ts'
import { toHex } from '../../../src/protocol/index.ts'
import type { Decision, ReceiveEvent } from '../../../src/receiver/index.ts'
import { AccountKeys } from '../../../src/trust/index.ts'

export interface Start {
  readonly portalUrl: string
  readonly account: string
  readonly token: string
  /** The secret of the keys. */
  readonly secret: string
  readonly isAsking: boolean
}

const FILLER_BYTES = 1024 * 1024

let inbox: PageInbox | null = null
const events: ReceiveEvent[] = []
const lapses: (string | null)[] = []
const questions = new Map<string, (decision: Decision) => void>()
const stopping = new AbortController()
let running: Promise<unknown> = Promise.resolve()

function opened(): PageInbox {
  if (inbox === null) throw new Error('the receiver was not started')
  return inbox
}

export async function start({ portalUrl, account, token, secret, isAsking }: Start): Promise<void> {
  const database = await openDatabase(portalUrl)
  inbox = await openPageInbox({
    database,
    portalUrl,
    fileKeeping: 'files',
    onFolderLapse: (lapse) => lapses.push(lapse),
  })
  const trust = { account, keys: await AccountKeys.parse(secret), contacts: new PageContacts(database) }
  running = receiveHere(inbox, {
    client: new PortalClient(pageTransport(portalUrl), token),
    trust,
    from: null,
    decide: isAsking ? ({ transferId }) => new Promise((resolve) => questions.set(transferId, resolve)) : null,
    signal: stopping.signal,
    onEvent: (event) => events.push(event),
  })
  running.catch((error: unknown) => console.error(error))
}

export async function stop(): Promise<void> {
  stopping.abort()
  await running
}

/** Simulates a takeover by another tab: this one is told to end, and still runs. */
export async function giveWay(): Promise<void> {
  stopping.abort()
  opened()[Symbol.dispose]()
}

export async function happened(): Promise<ReceiveEvent[]> {
  return events
}

export async function folderLapses(): Promise<(string | null)[]> {
  return lapses
}

export async function decide(transferId: string, decision: Decision): Promise<void> {
  questions.get(transferId)?.(decision)
}

interface Named {
  readonly name: string
  readonly sizeBytes: number
  /** SHA-256 in hex. */
  readonly digest: string
}

async function named(name: string, file: File): Promise<Named> {
  const digest = await crypto.subtle.digest('SHA-256', await file.arrayBuffer())
  return { name, sizeBytes: file.size, digest: toHex(new Uint8Array(digest)) }
}

/** The files in the page's own inbox. */
export async function kept(): Promise<(Named & { transferId: string; from: string | null })[]> {
  const files = await opened().kept()
  return Promise.all(
    files.map(async ({ transferId, name, from }) => ({
      ...(await named(name, await opened().keptFile(transferId))),
      transferId,
      from,
    })),
  )
}

export async function removeKept(transferId: string): Promise<void> {
  await opened().removeKept(transferId)
}

/** Clicks as a user does. */
export async function download(transferId: string, name: string): Promise<void> {
  downloadFile(await opened().keptFile(transferId), name)
}

/** Chooses a folder as a user does. OPFS handles have the same interface. */
async function folderOfTest(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle('chosen by a person', { create: true })
}

export async function forgetFolder(): Promise<void> {
  await opened().folder.forget()
}

export async function chooseFolder(): Promise<void> {
  Object.assign(globalThis, { showDirectoryPicker: folderOfTest })
  await opened().folder.choose()
}

export async function putIntoFolder(name: string, text: string): Promise<void> {
  const handle = await (await folderOfTest()).getFileHandle(name, { create: true })
  const writable = await handle.createWritable()
  await writable.write(text)
  await writable.close()
}

export async function folderFiles(): Promise<Named[]> {
  const found: Named[] = []
  for await (const handle of (await folderOfTest()).values()) {
    if (handle.kind === 'file') found.push(await named(handle.name, await (handle as FileSystemFileHandle).getFile()))
  }
  return found.sort((one, other) => (one.name < other.name ? -1 : 1))
}

/** All that is in the chosen folder, by its path; null for folders. */
export async function folderTree(): Promise<Record<string, Named | null>> {
  const found: Record<string, Named | null> = {}
  const visit = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      const path = `${above}${name}`
      found[path] = null
      if (handle instanceof FileSystemDirectoryHandle) await visit(handle, `${path}/`)
      else found[path] = await named(name, await getFile.apply(handle as FileSystemFileHandle))
    }
  }
  await visit(await folderOfTest(), '')
  return found
}

/** How many files with content are in a folder of the chosen folder. It reads none, because they may be being written. */
export async function writtenCount(name: string): Promise<number> {
  const count = async (folder: FileSystemDirectoryHandle): Promise<number> => {
    let sum = 0
    for await (const handle of folder.values()) {
      if (handle instanceof FileSystemDirectoryHandle) sum += await count(handle)
      else if ((await getFile.apply(handle as FileSystemFileHandle)).size > 0) sum++
    }
    return sum
  }
  const folder = await (await folderOfTest()).getDirectoryHandle(name).catch(() => null)
  return folder === null ? 0 : count(folder)
}

/** What of a tree is left out or changed in the chosen folder. */
export async function unpacked(transferId: string): Promise<unknown> {
  return opened().unpacked(transferId)
}

/** Copies stop after a number of files: the next one stays as the empty file that it begins with. */
export async function stallAfter(fileCount: number): Promise<void> {
  const { prototype } = FileSystemFileHandle
  const { createWritable } = prototype
  let count = 0
  prototype.createWritable = async function (...args) {
    return count++ < fileCount ? createWritable.apply(this, args) : new Promise<never>(() => {})
  }
}

/** The browser takes its permission back after a number of files. */
export async function refuseAfter(fileCount: number): Promise<void> {
  const { prototype } = FileSystemFileHandle
  const { createWritable } = prototype
  let count = 0
  prototype.createWritable = async function (...args) {
    if (count++ !== fileCount) return createWritable.apply(this, args)
    await takePermissionBack()
    throw new DOMException('the permission was taken back', 'NotAllowedError')
  }
}

const { getFile } = FileSystemFileHandle.prototype

/** Whether a file of that size is in the folder. */
export async function isInFolder(name: string, sizeBytes: number): Promise<boolean> {
  for await (const handle of (await folderOfTest()).values()) {
    // It avoids `getFile`, which a test may have stalled.
    if (handle.name === name) return (await getFile.apply(handle as FileSystemFileHandle)).size === sizeBytes
  }
  return false
}

/** Stops each copy into the folder at a point: after the empty file, or after all of its content. */
export async function stallCopies(when: 'begun' | 'complete'): Promise<void> {
  const { prototype } = FileSystemFileHandle
  const { createWritable } = prototype
  const folder = await folderOfTest()
  const never = new Promise<never>(() => {})
  const written = new Set<string>()
  prototype.createWritable = async function (...args) {
    if (when === 'begun') return never
    written.add(this.name)
    return createWritable.apply(this, args)
  }
  prototype.getFile = async function () {
    const isOfFolder = (await folder.resolve(this)) !== null
    return isOfFolder && written.has(this.name) ? never : getFile.apply(this)
  }
}

let release = (): void => {}

/** Holds each copy at its end until the test releases it. */
export async function holdCopies(): Promise<void> {
  const { stream } = File.prototype
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  File.prototype.stream = function () {
    return stream.apply(this).pipeThrough(new TransformStream({ flush: () => held }))
  }
}

export async function releaseCopies(): Promise<void> {
  release()
}

/** Revokes the permission, as a browser does after a reload. */
export async function takePermissionBack(): Promise<void> {
  const { prototype } = FileSystemDirectoryHandle as unknown as { prototype: Record<string, unknown> }
  prototype.queryPermission = async () => 'prompt'
  prototype.requestPermission = async () => {
    prototype.queryPermission = async () => 'granted'
    return 'granted'
  }
}

export async function askAgainForFolder(): Promise<boolean> {
  return opened().folder.askAgain()
}

/** Fills the storage of the browser up to a given number of free bytes. */
export async function fillStorage(leftBytes: number): Promise<void> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('filler', { create: true })
  for (let number = 1; ; number++) {
    const { quota = 0, usage = 0 } = await navigator.storage.estimate()
    const tooManyBytes = quota - usage - leftBytes
    if (tooManyBytes <= 0) return
    const writable = await (await folder.getFileHandle(`${number}`, { create: true })).createWritable()
    await writable.write(new Uint8Array(Math.min(tooManyBytes, FILLER_BYTES)))
    await writable.close()
  }
}

/** The names of all OPFS files. */
export async function stagedFiles(): Promise<string[]> {
  const names: string[] = []
  for await (const handle of (await navigator.storage.getDirectory()).values()) {
    if (handle.kind !== 'directory' || !handle.name.startsWith('inbox ')) continue
    for await (const name of (handle as FileSystemDirectoryHandle).keys()) names.push(name)
  }
  return names
}
