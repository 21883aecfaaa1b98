/**
 * Where content lies in this browser until it is published, and where what nobody has fetched from the browser yet stays: the
 * files of the origin (OPFS), each named for its transfer. Nothing that a sender writes becomes a name here.
 */
import { startWorker } from '../workers.ts'
import workerUrl from './staging-worker.ts?worker&url'

type Operation =
  | { readonly operation: 'read'; readonly atByte: number; readonly lengthBytes: number }
  | { readonly operation: 'write'; readonly atByte: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly operation: 'truncate'; readonly sizeBytes: number }
  | { readonly operation: 'close' }
  | { readonly operation: 'remove' }

/** What the worker is asked. The number comes back with its answer. */
export type StagingRequest = Operation & { readonly number: number; readonly folder: string; readonly name: string }

export type StagingAnswer =
  | { readonly number: number; readonly bytes: Uint8Array<ArrayBuffer> | null }
  | { readonly number: number; readonly error: { readonly name: string; readonly message: string } }

/** What the browser's storage said, in the worker. */
export class StagingError extends Error {
  override readonly name = 'StagingError'
  /** The name of the DOMException. */
  readonly reason: string

  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}

type Waiting = PromiseWithResolvers<Uint8Array<ArrayBuffer> | null>

export class Staging implements Disposable {
  readonly #folder: string
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #requests = 0

  /** @param folder in the origin's own file system; made when it is first written to */
  constructor(folder: string) {
    this.#folder = folder
    this.#worker = startWorker(workerUrl)
    this.#worker.addEventListener('message', ({ data }: MessageEvent<StagingAnswer>) => {
      const waiting = this.#waiting.get(data.number)
      this.#waiting.delete(data.number)
      if ('error' in data) waiting?.reject(new StagingError(data.error.name, data.error.message))
      else waiting?.resolve(data.bytes)
    })
    this.#worker.addEventListener('error', ({ message }) => this.#fail(message))
  }

  /** On disk when it resolves. The memory of the bytes is gone then, to the worker. */
  async write(transferId: string, atByte: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // What is only a view of something larger would take that along.
    const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice()
    await this.#ask(transferId, { operation: 'write', atByte, bytes: own }, [own.buffer])
  }

  /** @returns fewer bytes where the file ends before */
  async read(transferId: string, atByte: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#ask(transferId, { operation: 'read', atByte, lengthBytes })
    if (bytes === null) throw new Error('the worker read nothing')
    return bytes
  }

  /** Gives the file this very size, durably. */
  async truncate(transferId: string, sizeBytes: number): Promise<void> {
    await this.#ask(transferId, { operation: 'truncate', sizeBytes })
  }

  async close(transferId: string): Promise<void> {
    await this.#ask(transferId, { operation: 'close' })
  }

  /** Removes the file, if there is one. */
  async remove(transferId: string): Promise<void> {
    await this.#ask(transferId, { operation: 'remove' })
  }

  /** A file as it is now, to be read as a stream. @throws DOMException `NotFoundError` */
  async file(transferId: string): Promise<File> {
    const handle = await (await this.#directory()).getFileHandle(transferId)
    return handle.getFile()
  }

  /** The transfers of which there is a file. */
  async transferIds(): Promise<string[]> {
    const names: string[] = []
    for await (const name of (await this.#directory()).keys()) names.push(name)
    return names
  }

  [Symbol.dispose](): void {
    this.#worker.terminate()
    this.#fail('the inbox was closed')
  }

  #ask(name: string, operation: Operation, transfer: Transferable[] = []): Promise<Uint8Array<ArrayBuffer> | null> {
    const waiting: Waiting = Promise.withResolvers()
    const number = ++this.#requests
    this.#waiting.set(number, waiting)
    const request: StagingRequest = { ...operation, number, folder: this.#folder, name }
    this.#worker.postMessage(request, transfer)
    return waiting.promise
  }

  #fail(message: string): void {
    for (const { reject } of this.#waiting.values()) reject(new StagingError('AbortError', message))
    this.#waiting.clear()
  }

  async #directory(): Promise<FileSystemDirectoryHandle> {
    return (await navigator.storage.getDirectory()).getDirectoryHandle(this.#folder, { create: true })
  }
}
