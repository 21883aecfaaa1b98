/** The receipt of a guest proves itself: the guest's name is the fingerprint of the keys that signed. */
import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verifyReceipt } from '../../src/library/verify-receipt.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import {
  contentDigestOf,
  type Guest,
  guestOf,
  newLinkSecret,
  type ReceiptFile,
  signReceipt,
} from '../../src/trust/index.ts'
import { testFolder } from '../suites/folder.ts'

const content = Buffer.from('what the guest has received')
const sha256 = createHash('sha256').update(content).digest('hex')

/** A receipt about `content` that is said to be of `receiver`, signed with the keys of a guest. */
async function receiptOf({ keys }: Guest, receiver: string): Promise<ReceiptFile> {
  const transferId = newTransferId()
  const receipt = await signReceipt(
    {
      ...{ transferId, from: 'alice', receiver, sizeBytes: content.length, partSizeBytes: 65_536 },
      ...{ digestAlgorithm: 'sha-256', manifestDigest: sha256, disposition: 'received', at: '2026-11-30T12:00:00Z' },
      contentDigest: contentDigestOf('sha-256', null, [sha256]),
    },
    keys,
  )
  return { transferId, receiver, receipt, keys: keys.publicKeys, salt: null }
}

test('the receipt of a guest proves the delivery; with the name of another guest it proves nothing', async () => {
  const path = join(await testFolder(), 'a.txt')
  await writeFile(path, content)
  const secret = newLinkSecret()
  const [guest, other] = await Promise.all([guestOf(secret, 1, null), guestOf(secret, 2, null)])
  const proof = await verifyReceipt(path, await receiptOf(guest, guest.account))
  expect(proof).toMatchObject({ isProven: true, reason: null, claims: { receiver: guest.account } })
  const forged = await verifyReceipt(path, await receiptOf(guest, other.account))
  expect(forged).toMatchObject({ isProven: false, fingerprint: proof.fingerprint })
  expect(forged.reason).toBe(
    `it was signed with the keys ${proof.fingerprint}, which are not those of ${other.account}`,
  )
})
