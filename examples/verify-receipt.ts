/** Proves that a file is what its receiver signed for. Usage: verify-receipt.ts FILE RECEIPT [FINGERPRINT] */
import { readFile } from 'node:fs/promises'
import { verifyReceipt } from 'golooader'

const [file = '', receiptFile = '', fingerprint] = process.argv.slice(2)
const receipt = await readFile(receiptFile, 'utf8')
const proof = await verifyReceipt(file, receipt, fingerprint === undefined ? {} : { fingerprint })
if (proof.isProven) {
  console.log(`${proof.claims?.receiver} received exactly this file at ${proof.claims?.at}`)
  console.log(`signed with the keys ${proof.fingerprint}`)
} else {
  console.error(`not proven: ${proof.reason}`)
  process.exitCode = 1
}
