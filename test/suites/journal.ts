/** The suite for every journal: the obligations of `src/sender/journal.ts`. */
import { describe, expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import type { Journal, JournalEntry, SealRecords } from '../../src/sender/index.ts'

/** A place for journals. The caller disposes of it. */
export interface JournalPlace extends AsyncDisposable {
  /** The journal of another run, at the same place. */
  journal(): Promise<Journal>
  readonly sealRecords: SealRecords
}

export function entryFor(place: string): JournalEntry {
  return {
    transferId: newTransferId(),
    portalUrl: 'http://127.0.0.1:7878',
    account: 'ada',
    place,
    name: 'report.pdf',
    to: ['bob', 'eve'],
    isSealed: false,
    metadata: { name: 'report.pdf' },
    sealedFor: null,
    onlyPartDigest: null,
    source: { sizeBytes: 5, mtimeNs: '1700000000123456789', inode: '18446744073709551615', device: '2049' },
    partSizeBytes: 65_536,
    digestAlgorithm: 'sha-256',
    createdAt: '2026-01-02T03:04:05.678Z',
  }
}

const LAYOUT = { partCount: 3, digestBytes: 32 }
const NOTHING_HELD = new Map<number, string>()

export function testJournal(name: string, open: () => Promise<JournalPlace>): void {
  describe(`journal: ${name}`, () => {
    test('another run finds a recorded transfer', async () => {
      await using place = await open()
      const entry = entryFor('/a/report.pdf')
      expect(await (await place.journal()).replace(null, entry)).toBe(true)
      expect(await (await place.journal()).read(entry)).toEqual(entry)
    })

    test('another file, receiver, portal, account or name is another transfer', async () => {
      await using place = await open()
      const journal = await place.journal()
      const entry = entryFor('/a/report.pdf')
      await journal.replace(null, entry)
      const others = [
        { place: '/b/report.pdf' },
        { to: ['bob'] },
        { portalUrl: 'http://127.0.0.1:7879' },
        { account: 'eve' },
        { name: 'other.pdf' },
        { isSealed: true },
      ]
      for (const other of others) expect(await journal.read({ ...entry, ...other })).toBeNull()
    })

    test('a transfer replaces an outdated one, whose seal record is removed', async () => {
      await using place = await open()
      const journal = await place.journal()
      const first = entryFor('/a/report.pdf')
      const second = { ...first, transferId: newTransferId() }
      for (const { transferId } of [first, second]) await place.sealRecords.begin(transferId, LAYOUT)
      expect(await journal.replace(null, first)).toBe(true)
      expect(await journal.replace(first, second)).toBe(true)
      expect(await journal.read(first)).toEqual(second)
      expect(await place.sealRecords.open(first.transferId, LAYOUT, NOTHING_HELD)).toBeNull()
      await using record = await place.sealRecords.open(second.transferId, LAYOUT, NOTHING_HELD)
      expect(record).not.toBeNull()
    })

    test('a transfer whose end was reported is removed with its seal record; removing it again succeeds', async () => {
      await using place = await open()
      const journal = await place.journal()
      const entry = entryFor('/a/report.pdf')
      await place.sealRecords.begin(entry.transferId, LAYOUT)
      await journal.replace(null, entry)
      await journal.remove(entry)
      await journal.remove(entry)
      expect(await journal.read(entry)).toBeNull()
      expect(await place.sealRecords.open(entry.transferId, LAYOUT, NOTHING_HELD)).toBeNull()
    })

    test('of several runs that start at the same moment one records its transfer, and the others see it', async () => {
      await using place = await open()
      const outdated = entryFor('/a/report.pdf')
      for (const known of [null, outdated]) {
        const entries = Array.from({ length: 8 }, () => ({ ...outdated, transferId: newTransferId() }))
        const journals = await Promise.all(entries.map(() => place.journal()))
        const now = await (await place.journal()).read(outdated)
        if (known !== null) expect(await journals[0]?.replace(now, known)).toBe(true)
        const won = await Promise.all(entries.map((entry, index) => journals[index]?.replace(known, entry)))
        expect(won.filter(Boolean)).toHaveLength(1)
        expect(await (await place.journal()).read(outdated)).toEqual(entries[won.indexOf(true)])
      }
    })

    test('the transfer that another run started for the same file is neither removed nor replaced', async () => {
      await using place = await open()
      const journal = await place.journal()
      const first = entryFor('/a/report.pdf')
      const second = { ...first, transferId: newTransferId() }
      await journal.replace(null, first)
      await journal.replace(first, second)
      await journal.remove(first)
      expect(await journal.read(first)).toEqual(second)
      for (const known of [null, first]) {
        expect(await journal.replace(known, { ...first, transferId: newTransferId() })).toBe(false)
      }
      expect(await journal.read(first)).toEqual(second)
    })
  })
}
