/**
 * What is being received in this browser, and what has been: one record per transfer, and one per part that counts. Each move
 * from one state to the next is one transaction, on disk when it has resolved. It is made only while the record is what whoever
 * makes it has seen: when a tab takes over, the other one still runs for a moment, and what that has published and answered for
 * must not be begun anew.
 */
import type { CommitRecord, PartialLayout } from '../../../receiver/index.ts'
import { change, type PageDatabase, writing } from '../database.ts'

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

/** Another tab has gone on with it: there is another record to look at. */
export class Overtaken extends Error {
  override readonly name = 'Overtaken'
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

  /** Moves on, with the parts that are there. @param seen what `get` gave @throws Overtaken */
  put(seen: Arrival, arrival: Arrival): Promise<void> {
    return this.#move(seen.transferId, seen, arrival, { keepsParts: true })
  }

  /** Begins anew, without any part. @throws Overtaken */
  begin(seen: Arrival | null, arrival: Arriving): Promise<void> {
    return this.#move(arrival.transferId, seen, arrival, { keepsParts: false })
  }

  /** It is published; which parts it had is of no use any more. @throws Overtaken */
  publish(seen: Arrival, arrival: Arrived): Promise<void> {
    return this.#move(seen.transferId, seen, arrival, { keepsParts: false })
  }

  /** @throws Overtaken */
  remove(transferId: string, seen: Arrival | null): Promise<void> {
    return this.#move(transferId, seen, null, { keepsParts: false })
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

  /** @throws Overtaken where nothing of the transfer is arriving any more */
  async putPart(transferId: string, partNumber: number, part: HeldPart): Promise<void> {
    const transaction = writing(this.#database, ['arrivals'])
    const arrivals = transaction.objectStore('arrivals')
    const current = (await arrivals.get(fileKey(transferId))) as Arrival | undefined
    const isArriving = current?.state === 'arriving'
    if (isArriving) await arrivals.put(part, `part/${transferId}/${partNumber}`)
    await transaction.done
    if (!isArriving) throw new Overtaken('another tab has gone on with the file')
  }

  removePart(transferId: string, partNumber: number): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(`part/${transferId}/${partNumber}`))
  }

  removeParts(transferId: string): Promise<void> {
    return change(this.#database, 'arrivals', (objects) => objects.delete(partsOf(transferId)))
  }

  async #move(
    transferId: string,
    seen: Arrival | null,
    next: Arrival | null,
    { keepsParts }: { readonly keepsParts: boolean },
  ): Promise<void> {
    const transaction = writing(this.#database, ['arrivals'])
    const arrivals = transaction.objectStore('arrivals')
    const current = ((await arrivals.get(fileKey(transferId))) as Arrival | undefined) ?? null
    const isAsSeen = textOf(current) === textOf(seen)
    if (isAsSeen) {
      if (!keepsParts) await arrivals.delete(partsOf(transferId))
      if (next === null) await arrivals.delete(fileKey(transferId))
      else await arrivals.put(next, fileKey(transferId))
    }
    await transaction.done
    if (!isAsSeen) throw new Overtaken('another tab has gone on with the file')
  }
}

/** The same for records that stand for the same. */
function textOf(arrival: Arrival | null): string {
  if (arrival === null) return ''
  const { state, layout } = arrival
  const record = state === 'arriving' ? null : arrival.record
  const place = state === 'published' ? arrival.place : null
  const { sizeBytes, partSizeBytes, digestAlgorithm } = layout
  return JSON.stringify([state, sizeBytes, partSizeBytes, digestAlgorithm, record, place])
}
