/**
 * Writes to the files of the origin (OPFS), in a worker: only workers can write at an offset and wait for the disk. A
 * file is open from the first request about it until it is closed, and the worker has exclusive access to it.
 */
import '../disposables.ts'
import { retry } from '../../../async/retry.ts'
import { originFolder } from '../browser.ts'

export type StagingOperation =
  | { readonly operation: 'read'; readonly atByte: number; readonly lengthBytes: number }
  | { readonly operation: 'write'; readonly atByte: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly operation: 'truncate'; readonly sizeBytes: number }
  | { readonly operation: 'close' }
  | { readonly operation: 'remove' }

/** A request to the worker. Its answer has the same number. */
export type StagingRequest = StagingOperation & {
  readonly number: number
  readonly folder: string
  readonly name: string
}

export type StagingAnswer =
  | { readonly number: number; readonly bytes: Uint8Array<ArrayBuffer> | null }
  | { readonly number: number; readonly error: { readonly name: string; readonly message: string } }

/** https://fs.spec.whatwg.org/#api-filesystemsyncaccesshandle; the DOM types of a page lack it. */
interface SyncAccessHandle {
  read(bytes: Uint8Array, options: { at: number }): number
  write(bytes: Uint8Array, options: { at: number }): number
  truncate(sizeBytes: number): void
  flush(): void
  close(): void
}

/** After a reload the worker of the previous page may still hold the file. */
const OPEN_TRIES_MAX = 50
const OPEN_PAUSE_MS = 100

const opened = new Map<string, Promise<SyncAccessHandle>>()

addEventListener('message', ({ data }: MessageEvent<StagingRequest>) => {
  answer(data).then((message) => {
    const transfer = 'bytes' in message && message.bytes !== null ? [message.bytes.buffer] : []
    postMessage(message, { transfer })
  })
})

async function answer(request: StagingRequest): Promise<StagingAnswer> {
  const { number } = request
  try {
    return { number, bytes: await serve(request) }
  } catch (error) {
    if (!(error instanceof Error || error instanceof DOMException)) throw error
    return { number, error: { name: error.name, message: error.message } }
  }
}

async function serve(request: StagingRequest): Promise<Uint8Array<ArrayBuffer> | null> {
  const { folder, name } = request
  if (request.operation === 'close' || request.operation === 'remove') {
    await close(name)
    if (request.operation === 'remove') await remove(folder, name)
    return null
  }
  const handle = await handleOf(folder, name)
  switch (request.operation) {
    case 'read':
      return read(handle, request.atByte, request.lengthBytes)
    case 'write':
      write(handle, request.bytes, request.atByte)
      handle.flush()
      return null
    case 'truncate':
      handle.truncate(request.sizeBytes)
      handle.flush()
      return null
  }
}

function read(handle: SyncAccessHandle, atByte: number, lengthBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(lengthBytes)
  let readBytes = 0
  while (readBytes < lengthBytes) {
    const moreBytes = handle.read(bytes.subarray(readBytes), { at: atByte + readBytes })
    if (moreBytes === 0) break
    readBytes += moreBytes
  }
  return readBytes === lengthBytes ? bytes : bytes.slice(0, readBytes)
}

function write(handle: SyncAccessHandle, bytes: Uint8Array, atByte: number): void {
  let writtenBytes = 0
  while (writtenBytes < bytes.length) {
    const moreBytes = handle.write(bytes.subarray(writtenBytes), { at: atByte + writtenBytes })
    // Some browsers write fewer bytes when the disk is full, instead of throwing an error.
    if (moreBytes === 0) throw new DOMException('nothing more could be written', 'QuotaExceededError')
    writtenBytes += moreBytes
  }
}

function handleOf(folder: string, name: string): Promise<SyncAccessHandle> {
  let handle = opened.get(name)
  if (handle === undefined) {
    handle = open(folder, name)
    opened.set(name, handle)
    handle.catch(() => opened.delete(name))
  }
  return handle
}

async function open(folder: string, name: string): Promise<SyncAccessHandle> {
  const file = (await (await folderOf(folder)).getFileHandle(name, { create: true })) as FileSystemFileHandle & {
    createSyncAccessHandle(): Promise<SyncAccessHandle>
  }
  return retry(() => file.createSyncAccessHandle(), {
    delayMs: (error, tries) => {
      const isTaken = error instanceof DOMException && error.name === 'NoModificationAllowedError'
      if (!isTaken || tries === OPEN_TRIES_MAX) throw error
      return OPEN_PAUSE_MS
    },
  })
}

async function close(name: string): Promise<void> {
  const handle = opened.get(name)
  if (handle === undefined) return
  opened.delete(name)
  const one = await handle.catch(() => null)
  one?.close()
}

async function remove(folder: string, name: string): Promise<void> {
  try {
    await (await folderOf(folder)).removeEntry(name)
  } catch (error) {
    if (!(error instanceof DOMException && error.name === 'NotFoundError')) throw error
  }
}

async function folderOf(folder: string): Promise<FileSystemDirectoryHandle> {
  return (await originFolder()).getDirectoryHandle(folder, { create: true })
}
