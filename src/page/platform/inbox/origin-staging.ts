/**
 * Content in the files of the origin (OPFS). Each file is named by its transfer id. Names that a sender chooses are
 * never used here.
 */
import { originFolder } from '../browser.ts'
import { startWorker } from '../workers.ts'
import { type Staging, StagingError } from './staging.ts'
import type { StagingAnswer, StagingOperation, StagingRequest } from './staging-worker.ts'
import workerUrl from './staging-worker.ts?worker&url'

type Waiting = PromiseWithResolvers<Uint8Array<ArrayBuffer> | null>

export class OriginStaging implements Staging {
  readonly fileBytesMax = Number.POSITIVE_INFINITY
  readonly #folder: string
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #requests = 0

  /** @param folder in the origin's own file system; created at the first write */
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

  /** Transfers the buffer of the bytes to the worker. */
  async write(transferId: string, atByte: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    // The transfer would take the whole buffer of a view along, so a partial view is copied.
    const own = bytes.byteLength === bytes.buffer.byteLength ? bytes : bytes.slice()
    await this.#ask(transferId, { operation: 'write', atByte, bytes: own }, [own.buffer])
  }

  async read(transferId: string, atByte: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.#ask(transferId, { operation: 'read', atByte, lengthBytes })
    if (bytes === null) throw new Error('the worker read nothing')
    return bytes
  }

  async truncate(transferId: string, sizeBytes: number): Promise<void> {
    await this.#ask(transferId, { operation: 'truncate', sizeBytes })
  }

  async close(transferId: string): Promise<void> {
    await this.#ask(transferId, { operation: 'close' })
  }

  async remove(transferId: string): Promise<void> {
    await this.#ask(transferId, { operation: 'remove' })
  }

  async sizeBytes(transferId: string): Promise<number | null> {
    try {
      return (await this.file(transferId)).size
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotFoundError') return null
      throw error
    }
  }

  async file(transferId: string): Promise<File> {
    const handle = await (await this.#directory()).getFileHandle(transferId)
    return handle.getFile()
  }

  async transferIds(): Promise<string[]> {
    const names: string[] = []
    for await (const name of (await this.#directory()).keys()) names.push(name)
    return names
  }

  [Symbol.dispose](): void {
    this.#worker.terminate()
    this.#fail('the inbox was closed')
  }

  #ask(
    name: string,
    operation: StagingOperation,
    transfer: Transferable[] = [],
  ): Promise<Uint8Array<ArrayBuffer> | null> {
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
    return (await originFolder()).getDirectoryHandle(this.#folder, { create: true })
  }
}
