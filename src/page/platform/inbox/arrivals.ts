/**
 * The incoming and received transfers of this browser: one record per transfer, and one per verified part. Each change
 * of state is one transaction, which is on disk when it has resolved. A transaction succeeds only while the record
 * still is what the caller has read. Reason: during a takeover the other tab still runs for a moment, and a transfer
 * that it has published must not start again.
 */
import type { TreeSize } from '../../../protocol/index.ts'
import type { CommitRecord, PartialLayout } from '../../../receiver/index.ts'
import type { PartDigests } from '../../../trust/index.ts'
import { change, type PageDatabase, writing } from '../database.ts'
import type { Unpacked } from './tree-progress.ts'

interface About {
  readonly transferId: string
  readonly layout: PartialLayout
  /** Type and subtype; missing in records of earlier versions, and null where the sender said none. */
  readonly mediaType?: string | null
  /** Missing in records of earlier versions, and null for a file. */
  readonly tree?: TreeSize | null
}

/** The transfer is being received. */
export interface ArrivingRecord extends About {
  readonly state: 'arriving'
  readonly touchedAtMs: number
}

/** The file or tree is being copied into a folder. Only the folder shows whether the copy is complete. */
export interface PublishingRecord extends About {
  readonly state: 'publishing'
  readonly record: CommitRecord
  readonly folder: FileSystemDirectoryHandle
}

/** The file is published under its name. `gone` means that its owner has removed it from the browser. */
export interface ArrivedRecord extends About {
  readonly state: 'published'
  readonly record: CommitRecord
  readonly place: 'browser' | 'folder' | 'gone'
  readonly isAnswered: boolean
  readonly atMs: number
  /** Of a tree in a folder that the user has chosen. */
  readonly unpacked?: Unpacked | null
}

export type ArrivalRecord = ArrivingRecord | PublishingRecord | ArrivedRecord

/** Another tab has changed the record. The caller has to read it again. */
export class OvertakenError extends Error {
  override readonly name = 'OvertakenError'
}

const FILES = IDBKeyRange.bound('file/', 'file0', true, true)

function fileKey(transferId: string): string {
  return `file/${transferId}`
}

function partsOf(transferId: string): IDBKeyRange {
  return IDBKeyRange.bound(`part/${transferId}/`, `part/${transferId}0`, true, true)
}

export class Arrivals {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async get(transferId: string): Promise<ArrivalRecord | null> {
    return ((await this.#database.get('arrivals', fileKey(transferId))) as ArrivalRecord | undefined) ?? null
  }

  async all(): Promise<ArrivalRecord[]> {
    return (await this.#database.getAll('arrivals', FILES)) as ArrivalRecord[]
  }

  /** Replaces the record and keeps the parts. @param seen the record that `get` gave @throws OvertakenError */
  put(seen: ArrivalRecord, arrival: ArrivalRecord): Promise<void> {
    return this.#move(seen.transferId, seen, arrival, { keepsParts: true })
  }

  /** Starts the transfer again, without any part. @throws OvertakenError */
  begin(seen: ArrivalRecord | null, arrival: ArrivingRecord): Promise<void> {
    return this.#move(arrival.transferId, seen, arrival, { keepsParts: false })
  }

  /** Records that the file is published, and removes the records of its parts. @throws OvertakenError */
  publish(seen: ArrivalRecord, arrival: ArrivedRecord): Promise<void> {
    return this.#move(seen.transferId, seen, arrival, { keepsParts: false })
  }

  /** @throws OvertakenError */
  remove(transferId: string, seen: ArrivalRecord | null): Promise<void> {
    return this.#move(transferId, seen, null, { keepsParts: false })
  }

  async parts(transferId: string): Promise<Map<number, PartDigests>> {
    const range = partsOf(transferId)
    const [keys, parts] = await Promise.all([
      this.#database.getAllKeys('arrivals', range),
      this.#database.getAll('arrivals', range),
    ])
    const numbers = keys.map((key) => Number(key.slice(key.lastIndexOf('/') + 1)))
    return new Map(numbers.map((number, index) => [number, parts[index] as PartDigests]))
  }

  /** @throws OvertakenError when the transfer is not arriving any more */
  async putPart(transferId: string, partNumber: number, part: PartDigests): Promise<void> {
    const transaction = writing(this.#database, ['arrivals'])
    const arrivals = transaction.objectStore('arrivals')
    const current = (await arrivals.get(fileKey(transferId))) as ArrivalRecord | undefined
    const isArriving = current?.state === 'arriving'
    if (isArriving) await arrivals.put(part, `part/${transferId}/${partNumber}`)
    await transaction.done
    if (!isArriving) throw new OvertakenError('another tab has continued with the file')
  }

  removePart(transferId: string, partNumber: number): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(`part/${transferId}/${partNumber}`))
  }

  removeParts(transferId: string): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(partsOf(transferId)))
  }

  async #move(
    transferId: string,
    seen: ArrivalRecord | null,
    next: ArrivalRecord | null,
    { keepsParts }: { readonly keepsParts: boolean },
  ): Promise<void> {
    const transaction = writing(this.#database, ['arrivals'])
    const arrivals = transaction.objectStore('arrivals')
    const current = ((await arrivals.get(fileKey(transferId))) as ArrivalRecord | undefined) ?? null
    const isAsSeen = textOf(current) === textOf(seen)
    if (isAsSeen) {
      if (!keepsParts) await arrivals.delete(partsOf(transferId))
      if (next === null) await arrivals.delete(fileKey(transferId))
      else await arrivals.put(next, fileKey(transferId))
    }
    await transaction.done
    if (!isAsSeen) throw new OvertakenError('another tab has continued with the file')
  }
}

/** A canonical text: equal for equal records. */
function textOf(arrival: ArrivalRecord | null): string {
  if (arrival === null) return ''
  const { state, layout } = arrival
  const record = state === 'arriving' ? null : arrival.record
  const place = state === 'published' ? arrival.place : null
  const { sizeBytes, partSizeBytes, digestAlgorithm, isSizeKnown = true } = layout
  return JSON.stringify([state, sizeBytes, isSizeKnown, partSizeBytes, digestAlgorithm, record, place])
}

/** Whether the parts of a recorded layout count for the one that is offered: a stream may have ended since. */
export function isContinued(recorded: PartialLayout, offered: PartialLayout): boolean {
  const isSameSize = recorded.sizeBytes === offered.sizeBytes && recorded.isSizeKnown === offered.isSizeKnown
  return (
    (isSameSize || recorded.isSizeKnown === false) &&
    recorded.partSizeBytes === offered.partSizeBytes &&
    recorded.digestAlgorithm === offered.digestAlgorithm
  )
}
