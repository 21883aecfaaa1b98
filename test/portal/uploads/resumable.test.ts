/** Uploads that later requests continue, at one portal and at several that share a ledger and a store. */
import { expect, test } from 'vitest'
import { begin, type Portal } from '../several.ts'
import { content, film, MIB, PART_BYTES, storedContent, Uploader } from './resumable.ts'

// Parts of a stream are then no larger than others.
const options = { transferSizeBytesMax: 1024 * MIB }

test.each([
  ['known', film.length],
  ['unknown', null],
])('a file of %s length comes in requests that break anywhere, at two portals in turn', async (_, lengthBytes) => {
  const { store, ada, portal } = await begin(options)
  const portals = [portal('one'), portal('two')]
  const one = await Uploader.create(portals[0] as Portal, ada, { lengthBytes })
  let offset = 0
  for (let turn = 0; turn < 12; turn++) {
    const now = portals[turn % 2] as Portal
    expect(await one.offset(now)).toBe(offset)
    const bytes = film.subarray(offset, offset + Math.floor(Math.random() * 3 * MIB) + 1)
    const source = content(bytes, { breaks: turn % 3 !== 0 })
    const appended = one.append(now, offset, bytes, { source, contentBytes: turn % 4 === 0 ? null : bytes.length })
    if (turn % 3 !== 0) await expect(appended).rejects.toMatchObject({ code: 'part-incomplete' })
    else expect(await appended).toEqual({ offsetBytes: offset + bytes.length, stored: null })
    const told = await one.offset(portals[(turn + 1) % 2] as Portal)
    expect(told).toBeGreaterThanOrEqual(offset)
    expect(told).toBeLessThanOrEqual(offset + bytes.length)
    offset = told
  }
  expect(offset).toBeGreaterThan(PART_BYTES)
  const { stored } = await one.append(portals[0] as Portal, offset, film.subarray(offset), { completes: true })
  if (stored === null) throw new Error('it is not stored')
  expect(stored).toMatchObject({ state: 'stored', sizeBytes: film.length, isSizeKnown: true })
  expect((await storedContent(store, stored)).equals(film)).toBe(true)
  const again = await one.append(portals[1] as Portal, film.length, Buffer.alloc(0), { completes: true })
  expect(again).toMatchObject({ offsetBytes: film.length, stored: { transferId: stored.transferId } })
})
