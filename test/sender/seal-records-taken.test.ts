/** A seal record that is taken to another machine: nothing more is sealed by it here, not even by a run that has it open. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { FileSealRecords } from '../../src/sender/node-seal-record.ts'
import { testFolder } from '../suites/folder.ts'

const LAYOUT = { partCount: 4, digestBytes: 32 }
const NONE = new Map<number, string>()
const digest = (digit: string): string => digit.repeat(64)
const moved = expect.objectContaining({ name: 'TransferMovedError' })

async function begun() {
  const folder = await testFolder()
  const records = new FileSealRecords(folder)
  const transferId = newTransferId()
  await records.begin(transferId, LAYOUT)
  const record = await records.open(transferId, LAYOUT, NONE)
  if (record === null) throw new Error('the record is lost')
  await record.note(1, digest('1'))
  return { folder, records, transferId, record, path: join(folder, 'journal', `${transferId}.sealed`) }
}

test('a run that has the record open, and runs after it, seal nothing more', async () => {
  const { records, transferId, record } = await begun()
  await using _open = record
  const taken = await records.takeOut(transferId)
  expect(Buffer.from(taken ?? '', 'base64').toString('hex')).toBe(digest('1') + 'ff'.repeat(3 * 32))
  // What was sealed may be sent again. It is the same.
  await record.note(1, digest('1'))
  await expect(record.note(2, digest('2'))).rejects.toEqual(moved)
  await expect(records.open(transferId, LAYOUT, NONE)).rejects.toEqual(moved)
  expect(await records.takeOut(transferId)).toBe(taken)
  await records.remove(transferId)
  await expect(record.note(3, digest('3'))).rejects.toEqual(moved)
  expect(await records.takeOut(transferId)).toBeNull()
})

test('another machine continues with it', async () => {
  const { records, transferId, record } = await begun()
  await record[Symbol.asyncDispose]()
  const taken = (await records.takeOut(transferId)) ?? ''
  const there = new FileSealRecords(await testFolder())
  await there.adopt(transferId, taken)
  await there.adopt(transferId, taken)
  await using continued = await there.open(transferId, LAYOUT, new Map([[1, digest('1')]]))
  await expect(continued?.note(1, digest('9'))).rejects.toEqual(expect.objectContaining({ name: 'SealConflictError' }))
  await continued?.note(2, digest('2'))
})

test('a kill after each step leaves what the next call needs', async () => {
  // Killed after the copy: the record is in use and may grow. The next call copies it again.
  const first = await begun()
  await using record = first.record
  writeFileSync(`${first.path}.taken`, readFileSync(first.path).toString('base64'))
  await record.note(2, digest('2'))
  const taken = await first.records.takeOut(first.transferId)
  expect(Buffer.from(taken ?? '', 'base64').toString('hex')).toBe(digest('1') + digest('2') + 'ff'.repeat(2 * 32))
  // Killed after the original was emptied.
  writeFileSync(first.path, '')
  await expect(first.records.open(first.transferId, LAYOUT, NONE)).rejects.toEqual(moved)
  expect(await first.records.takeOut(first.transferId)).toBe(taken)
})
