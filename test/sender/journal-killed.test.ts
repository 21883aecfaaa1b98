/**
 * The process is killed between any two steps of the journal and of the receipts. Every confirmed step stays done.
 *
 * @see killed-journal.ts
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FileReceipts } from '../../src/profile/receipts.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { FileJournal } from '../../src/sender/node-journal.ts'
import { bundledProgram } from '../suites/bundled.ts'
import { testFolder } from '../suites/folder.ts'
import { entryFor } from '../suites/journal.ts'
import type { JournalTask } from './killed-journal.ts'

const ENTRIES = 6
const STEPS_MAX = 200
const keys = { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) }

/** An entry is removed after its receipt has been saved. */
const isKept = (said: string | undefined): boolean => said === 'kept' || said === 'removed'

/** @returns the steps that it confirmed, by transfer */
async function run(task: JournalTask): Promise<Map<string, string>> {
  const program = await bundledProgram(join(import.meta.dirname, 'killed-journal.ts'))
  const said = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [program, JSON.stringify(task)], (error, output, errors) => {
      if (error !== null && error.signal !== 'SIGKILL') reject(new Error(errors))
      else resolve(output)
    })
  })
  const lines = said.split('\n').filter((line) => line.includes(' '))
  return new Map(lines.map((line) => line.split(' ').reverse() as [string, string]))
}

test('after a kill at any step, no confirmed entry or receipt is lost, and no removed one comes back', async () => {
  for (let step = 1; step < STEPS_MAX; step++) {
    const folder = await testFolder({ inMemory: true })
    const entries = Array.from({ length: ENTRIES }, (_, index) => entryFor(`/a/file-${index}`))
    const newer = entries.slice(0, 2).map((entry) => ({ ...entry, transferId: newTransferId() }))
    const receipts = entries.map(({ transferId }) => ({
      ...{ transferId, receiver: 'bob', keys, salt: null },
      receipt: 'eyJhIjoxfQ.eyJhIjoxfQ.c2lnbmF0dXJl',
    }))
    const said = await run({ folder, entries, newer, receipts, killBeforeStep: step })
    const journal = new FileJournal(folder)
    const areAllKept = receipts.every(({ transferId }) => isKept(said.get(transferId)))
    for (const [index, entry] of entries.entries()) {
      const found = (await journal.read(entry))?.transferId ?? null
      const last = newer[index]?.transferId ?? entry.transferId
      const what = `file ${index}, killed before step ${step}`
      if (said.get(last) === 'removed') expect(found, what).toBeNull()
      else if (said.get(last) === 'replaced') expect(areAllKept ? [last, null] : [last], what).toContain(found)
      // Once all receipts are saved, the removals may have begun without any confirmation.
      else if (said.has(entry.transferId) && !areAllKept) expect(found, what).not.toBeNull()
    }
    for (const receipt of receipts) {
      if (isKept(said.get(receipt.transferId))) {
        expect(await new FileReceipts(folder).of(receipt.transferId), `killed before step ${step}`).toEqual([receipt])
      }
    }
    // The next run continues with the files that it finds.
    for (const entry of entries) {
      const found = await journal.read(entry)
      if (found !== null) await journal.remove(found)
      expect(await journal.read(entry)).toBeNull()
    }
    expect((await readdir(join(folder, 'journal')).catch(() => [])).filter((name) => name.endsWith('.batch'))).toEqual(
      [],
    )
    if (said.size > 0 && [...said.values()].includes('ended')) return
  }
  throw new Error('there is no end to its steps')
})
