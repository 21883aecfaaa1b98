/**
 * The uploads in one request that are under way. They belong to the process that reads their bodies, and end with it: what
 * a dead one left in the store is an orphan, which nobody can go on with.
 *
 * One transfer has one upload at a time, and the newest request of its sender is it: an older one may be dead without
 * anybody having noticed.
 */
import { Problem } from '../protocol/index.ts'

export class Uploads {
  readonly #underWay = new Map<string, Upload>()

  /**
   * Begins an upload. One of the same transfer that is under way is cut off, and has ended when this resolves.
   *
   * @throws Problem `transfer-conflict` when it is somebody else's
   */
  async begin(transferId: string, accountId: number): Promise<Upload> {
    while (true) {
      const older = this.#underWay.get(transferId)
      if (older === undefined) break
      if (older.accountId !== accountId) throw new Problem('transfer-conflict')
      older.cut()
      await older.ended
    }
    const upload = new Upload(accountId, () => this.#underWay.delete(transferId))
    this.#underWay.set(transferId, upload)
    return upload
  }

  isUnderWay(transferId: string): boolean {
    return this.#underWay.has(transferId)
  }

  /** What has come of transfers that are in no ledger yet: of one account, or of all. */
  unannouncedBytes(accountId: number | null): number {
    let bytes = 0
    for (const upload of this.#underWay.values()) {
      if (accountId === null || upload.accountId === accountId) bytes += upload.unannouncedBytes
    }
    return bytes
  }

  /** Resolves when none is under way. */
  async allEnded(): Promise<void> {
    await Promise.all([...this.#underWay.values()].map((upload) => upload.ended))
  }
}

/** One that is under way, until it is disposed of. */
export class Upload implements Disposable {
  readonly accountId: number
  readonly ended: Promise<void>
  unannouncedBytes = 0
  readonly #cut = new AbortController()
  readonly #end: () => void

  constructor(accountId: number, onEnd: () => void) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.accountId = accountId
    this.ended = promise
    this.#end = () => {
      onEnd()
      resolve()
    }
  }

  /** Aborts when a newer request takes the place of this one. */
  get signal(): AbortSignal {
    return this.#cut.signal
  }

  cut(): void {
    this.#cut.abort(new Error('the same transfer is being sent anew'))
  }

  [Symbol.dispose](): void {
    this.#end()
  }
}
