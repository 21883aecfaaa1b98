/** The suite for every seal record: the obligations of `src/sender/seal-record.ts`. */
import { describe, expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import type { SealRecord, SealRecords } from '../../src/sender/index.ts'

/** A place for records. The caller disposes of it. */
export interface RecordsPlace extends AsyncDisposable {
  /** The records of another run, at the same place. */
  records(): Promise<SealRecords>
  /** Ways to lose, cut or empty a record, by name. */
  readonly damages: Readonly<Record<string, (transferId: string) => Promise<void>>>
}

const LAYOUT = { partCount: 4, digestBytes: 32 }
const NOTHING_HELD = new Map<number, string>()
const digest = (digit: string): string => digit.repeat(64)
const otherwise = expect.objectContaining({ name: 'SealConflictError' })

async function opened(records: SealRecords, transferId: string, held = NOTHING_HELD): Promise<SealRecord> {
  const record = await records.open(transferId, LAYOUT, held)
  if (record === null) throw new Error('the record is lost')
  return record
}

/** Begins a record with parts 1 and 2. */
async function begun(place: RecordsPlace): Promise<string> {
  const transferId = newTransferId()
  const records = await place.records()
  await records.begin(transferId, LAYOUT)
  await using record = await opened(records, transferId)
  await record.note(1, digest('1'))
  await record.note(2, digest('2'))
  return transferId
}

/** @param damages the names of the place's damages */
export function testSealRecords(name: string, damages: readonly string[], open: () => Promise<RecordsPlace>): void {
  describe(`seal records: ${name}`, () => {
    test('the same content can be sealed again, by the same run and the next, and no other content', async () => {
      await using place = await open()
      const transferId = await begun(place)
      await using record = await opened(await place.records(), transferId)
      for (const _ of [1, 2]) {
        await record.note(1, digest('1'))
        await expect(record.note(1, digest('9'))).rejects.toEqual(otherwise)
      }
      await record.note(3, digest('3'))
      await using next = await opened(await place.records(), transferId)
      await next.note(3, digest('3'))
      await expect(next.note(3, digest('2'))).rejects.toEqual(otherwise)
    })

    test('of several runs that seal the same part with different content only one may send it', async () => {
      await using place = await open()
      const transferId = await begun(place)
      const runs = await Promise.all(['a', 'b', 'c'].map(async () => opened(await place.records(), transferId)))
      const ends = await Promise.allSettled(runs.map((record, index) => record.note(3, digest(String(index)))))
      expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
      for (const end of ends) if (end.status === 'rejected') expect(end.reason).toEqual(otherwise)
      const winner = ends.findIndex(({ status }) => status === 'fulfilled')
      await using next = await opened(await place.records(), transferId)
      await next.note(3, digest(String(winner)))
      for (const record of runs) await record[Symbol.asyncDispose]()
    })

    test('parts that are sealed at the same time are all recorded', async () => {
      await using place = await open()
      const transferId = newTransferId()
      const records = await place.records()
      await records.begin(transferId, LAYOUT)
      await using record = await opened(records, transferId)
      await Promise.all([1, 2, 3, 4].map((partNumber) => record.note(partNumber, digest(String(partNumber)))))
      const held = new Map([1, 2, 3, 4].map((partNumber) => [partNumber, digest(String(partNumber))]))
      await using next = await opened(await place.records(), transferId, held)
      await expect(next.note(4, digest('1'))).rejects.toEqual(otherwise)
    })

    test('a record that lacks parts of the portal is an older copy, and counts as none', async () => {
      await using place = await open()
      const transferId = await begun(place)
      const records = await place.records()
      for (const held of [new Map([[3, digest('3')]]), new Map([[1, digest('2')]])]) {
        expect(await records.open(transferId, LAYOUT, held)).toBeNull()
      }
      await using record = await opened(records, transferId, new Map([[1, digest('1')]]))
      await record.note(3, digest('3'))
    })

    test('a record of other sizes, a removed one and one that was never started count as none', async () => {
      await using place = await open()
      const transferId = await begun(place)
      const records = await place.records()
      expect(await records.open(transferId, { ...LAYOUT, partCount: 5 }, NOTHING_HELD)).toBeNull()
      await records.remove(transferId)
      await records.remove(transferId)
      for (const one of [transferId, newTransferId()]) {
        expect(await records.open(one, LAYOUT, NOTHING_HELD)).toBeNull()
      }
    })

    test('no transfer has a second record', async () => {
      await using place = await open()
      const transferId = await begun(place)
      await expect((await place.records()).begin(transferId, LAYOUT)).rejects.toThrow()
      await using record = await opened(await place.records(), transferId)
      await expect(record.note(1, digest('9'))).rejects.toEqual(otherwise)
    })

    test.each(damages)('a record that %s allows no other content to be sealed', async (what) => {
      await using place = await open()
      const transferId = await begun(place)
      await place.damages[what]?.(transferId)
      await using record = await (await place.records()).open(transferId, LAYOUT, NOTHING_HELD)
      if (record !== null) await expect(record.note(1, digest('9'))).rejects.toEqual(otherwise)
    })
  })
}
