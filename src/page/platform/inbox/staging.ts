/** Stores content in this browser until it is published, and published files until their owner removes them. */

export interface Staging extends Disposable {
  /** The largest file that this store can hold. */
  readonly fileBytesMax: number
  /**
   * Writes a part; on disk when it resolves. The call may detach the buffer.
   *
   * @param bytes a part, always at the same offset
   */
  write(transferId: string, atByte: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>
  /**
   * Reads at an offset.
   *
   * @returns fewer bytes at the end of the file
   */
  read(transferId: string, atByte: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>>
  /** Sets the size of the file, durably. */
  truncate(transferId: string, sizeBytes: number): Promise<void>
  close(transferId: string): Promise<void>
  /** Removes the file, if there is one. */
  remove(transferId: string): Promise<void>
  /** The size that `truncate` set; null where there is no file. */
  sizeBytes(transferId: string): Promise<number | null>
  /**
   * The present file, to be read as a stream.
   *
   * @throws DOMException `NotFoundError`
   */
  file(transferId: string): Promise<File>
  /** The transfers that have stored content. */
  transferIds(): Promise<string[]>
}

/** A storage error of the browser, passed on from the worker. */
export class StagingError extends Error {
  override readonly name = 'StagingError'
  /** The name of the DOMException. */
  readonly reason: string

  constructor(reason: string, message: string) {
    super(message)
    this.reason = reason
  }
}
