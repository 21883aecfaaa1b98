/** Receipts that are saved together share a file, and each is found by its transfer. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FileReceipts } from '../../src/profile/receipts.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import type { ReceiptFile } from '../../src/trust/index.ts'
import { testFolder } from '../suites/folder.ts'

const keys = { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) }
const receiptOf = (receiver: string, transferId = newTransferId()): ReceiptFile => ({
  ...{ transferId, receiver, keys, salt: null },
  receipt: 'eyJhIjoxfQ.eyJhIjoxfQ.c2lnbmF0dXJl',
})

test('concurrent receipts are saved in few files, and another run finds each of them', async () => {
  const folder = await testFolder()
  const receipts = new FileReceipts(folder)
  const shared = newTransferId()
  const kept = [
    ...Array.from({ length: 30 }, () => receiptOf('bob')),
    receiptOf('dave', shared),
    receiptOf('carol', shared),
  ]
  await Promise.all(kept.map((receipt) => receipts.keep(receipt)))
  expect((await readdir(join(folder, 'receipts'))).length).toBeLessThan(4)
  const found = new FileReceipts(folder)
  for (const receipt of kept.slice(0, 30)) expect(await found.of(receipt.transferId)).toEqual([receipt])
  expect((await found.of(shared)).map(({ receiver }) => receiver)).toEqual(['carol', 'dave'])
  expect(await found.of(newTransferId())).toEqual([])
  // The same again, alone: it counts once.
  const [first] = kept
  await receipts.keep(first as ReceiptFile)
  expect(await found.of(first?.transferId ?? '')).toEqual([first])
})

test('a failed write is reported for every receipt in it, and the next receipt is saved', async () => {
  const receipts = new FileReceipts('/dev/null/nowhere')
  const results = await Promise.allSettled([receiptOf('bob'), receiptOf('bob')].map((one) => receipts.keep(one)))
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})
