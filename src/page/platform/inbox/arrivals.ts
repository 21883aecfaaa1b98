/**
 * What is being received in this browser, and what has been: one record per transfer, and one per part that counts. Each move
 * from one state to the next is one transaction, on disk when it has resolved.
 */
import type { CommitRecord, PartialLayout } from '../../../receiver/index.ts'
import { change, type PageDatabase } from '../database.ts'

interface About {
  readonly transferId: string
  readonly layout: PartialLayout
}

/** Parts of it are held, or will be. */
export interface Arriving extends About {
  readonly state: 'arriving'
  readonly touchedAtMs: number
}

/** It is being copied into a folder. Whether it stands there already, only a look into the folder tells. */
export interface Publishing extends About {
  readonly state: 'publishing'
  readonly record: CommitRecord
  readonly folder: FileSystemDirectoryHandle
}

/** It is there under its name; `gone` is what was in the browser and has been removed by its owner. */
export interface Arrived extends About {
  readonly state: 'published'
  readonly record: CommitRecord
  readonly place: 'browser' | 'folder' | 'gone'
  readonly isAnswered: boolean
  readonly atMs: number
}

export type Arrival = Arriving | Publishing | Arrived

/** One part that counts; the digests in hex. */
export interface HeldPart {
  /** Of what travelled. */
  readonly digest: string
  /** Of what the file holds. */
  readonly contentDigest: string
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

  async get(transferId: string): Promise<Arrival | null> {
    return ((await this.#database.get('arrivals', fileKey(transferId))) as Arrival | undefined) ?? null
  }

  async all(): Promise<Arrival[]> {
    return (await this.#database.getAll('arrivals', FILES)) as Arrival[]
  }

  put(arrival: Arrival): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.put(arrival, fileKey(arrival.transferId)))
  }

  /** Begins anew, without any part. */
  begin(arrival: Arriving): Promise<void> {
    return this.#replace(arrival)
  }

  /** It is published; which parts it had is of no use any more. */
  publish(arrival: Arrived): Promise<void> {
    return this.#replace(arrival)
  }

  remove(transferId: string): Promise<void> {
    return change(this.#database, 'arrivals', (objects) =>
      Promise.all([objects.delete(fileKey(transferId)), objects.delete(partsOf(transferId))]),
    )
  }

  async parts(transferId: string): Promise<Map<number, HeldPart>> {
    const range = partsOf(transferId)
    const [keys, parts] = await Promise.all([
      this.#database.getAllKeys('arrivals', range),
      this.#database.getAll('arrivals', range),
    ])
    const numbers = keys.map((key) => Number(key.slice(key.lastIndexOf('/') + 1)))
    return new Map(numbers.map((number, index) => [number, parts[index] as HeldPart]))
  }

  putPart(transferId: string, partNumber: number, part: HeldPart): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.put(part, `part/${transferId}/${partNumber}`))
  }

  removePart(transferId: string, partNumber: number): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(`part/${transferId}/${partNumber}`))
  }

  removeParts(transferId: string): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(partsOf(transferId)))
  }

  #replace(arrival: Arrival): Promise<void> {
    const { transferId } = arrival
    return change(this.#database, 'arrivals', (objects) =>
      Promise.all([objects.delete(partsOf(transferId)), objects.put(arrival, fileKey(transferId))]),
    )
  }
}
