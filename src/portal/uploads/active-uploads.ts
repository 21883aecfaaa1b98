/**
 * The running uploads in one request. They belong to the process that reads their bodies and end with it: parts that a killed
 * process left in the store are orphans, and no later request can continue them.
 *
 * A transfer has one upload at a time: that of its sender's newest request. An older request may be dead without the portal having
 * noticed.
 */
import { type PlainMetadata, Problem } from '../../protocol/index.ts'

/** The data about a file in the head of its request. */
export interface Description {
  readonly to: readonly string[]
  readonly metadata: PlainMetadata
  /** Null when the length is not known yet. */
  readonly sizeBytes: number | null
}

/** Whether two requests may bring the same file, because their heads have the same data. */
export function mayBeSame(one: Description, other: Description): boolean {
  const to = new Set(one.to)
  return (
    to.size === other.to.length &&
    other.to.every((receiver) => to.has(receiver)) &&
    one.metadata.name === other.metadata.name &&
    one.metadata.mediaType === other.metadata.mediaType &&
    (one.sizeBytes === null || other.sizeBytes === null || one.sizeBytes === other.sizeBytes)
  )
}

export class ActiveUploads {
  readonly #underWay = new Map<string, ActiveUpload>()
  /** By account; null for all of them. */
  readonly #unannouncedBytes = new Map<number | null, number>()

  /**
   * Begins an upload. A running upload of the same transfer is cut off, and has ended when this resolves.
   *
   * @throws Problem `transfer-conflict` when the running upload belongs to another account or brings another file: then it continues
   */
  async begin(transferId: string, accountId: number, file: Description): Promise<ActiveUpload> {
    while (true) {
      const older = this.#underWay.get(transferId)
      if (older === undefined) break
      if (older.accountId !== accountId || !mayBeSame(older.file, file)) throw new Problem('transfer-conflict')
      older.cut()
      await older.ended
    }
    const upload = new ActiveUpload(accountId, file, {
      onUnannounced: (moreBytes) => {
        for (const key of [accountId, null]) this.#unannouncedBytes.set(key, this.unannouncedBytes(key) + moreBytes)
        if (this.unannouncedBytes(accountId) === 0) this.#unannouncedBytes.delete(accountId)
      },
      onEnd: () => this.#underWay.delete(transferId),
    })
    this.#underWay.set(transferId, upload)
    return upload
  }

  isUnderWay(transferId: string): boolean {
    return this.#underWay.has(transferId)
  }

  /** The bytes that have arrived and are not counted in the ledger yet: of one account, or of all. */
  unannouncedBytes(accountId: number | null): number {
    return this.#unannouncedBytes.get(accountId) ?? 0
  }

  /** Resolves when no upload is running. */
  async allEnded(): Promise<void> {
    await Promise.all([...this.#underWay.values()].map((upload) => upload.ended))
  }
}

/** A running upload. It ends when it is disposed of. */
export class ActiveUpload implements Disposable {
  readonly accountId: number
  readonly file: Description
  readonly ended: Promise<void>
  readonly #cut = new AbortController()
  readonly #onUnannounced: (moreBytes: number) => void
  readonly #end: () => void
  #unannouncedBytes = 0

  constructor(
    accountId: number,
    file: Description,
    { onUnannounced, onEnd }: { readonly onUnannounced: (moreBytes: number) => void; readonly onEnd: () => void },
  ) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.accountId = accountId
    this.file = file
    this.ended = promise
    this.#onUnannounced = onUnannounced
    this.#end = () => {
      onEnd()
      resolve()
    }
  }

  /** The bytes that have arrived and are not counted in the ledger yet. */
  get unannouncedBytes(): number {
    return this.#unannouncedBytes
  }

  set unannouncedBytes(bytes: number) {
    this.#onUnannounced(bytes - this.#unannouncedBytes)
    this.#unannouncedBytes = bytes
  }

  /** Aborts when a newer request replaces this one. */
  get signal(): AbortSignal {
    return this.#cut.signal
  }

  cut(): void {
    this.#cut.abort(new Error('a newer request sends the same transfer'))
  }

  [Symbol.dispose](): void {
    this.unannouncedBytes = 0
    this.#end()
  }
}
