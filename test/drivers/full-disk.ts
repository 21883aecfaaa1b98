/** Fills a small disk, given as the argument, and prints what happened: see `store.test.ts`. */
import { readdir } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { digestOf } from '../../src/digests/index.ts'
import { receivePart } from '../../src/parts/node-part-receiver.ts'
import { fsStore } from '../../src/portal/store/fs.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'

const [, , folder = ''] = process.argv
const store = await fsStore(folder)
const transferId = newTransferId()

async function take(partNumber: number, byteCount: number) {
  const bytes = Buffer.alloc(byteCount, partNumber)
  const key = { transferId, generation: '', partNumber, digest: digestOf('sha-256', bytes) }
  await receivePart(
    Readable.from([bytes]),
    { partNumber, lengthBytes: byteCount, digestAlgorithm: 'sha-256', digest: key.digest },
    () => store.openPart(key),
    { idleMs: 10_000 },
  )
  return { key, bytes }
}

const first = await take(1, 1_000_000)
const error: unknown = await take(2, 2_000_000).then(
  () => null,
  (refusal: unknown) => refusal,
)
const files = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile())
const content = await store.read(first.key)
const firstIsIntact = content !== null && (await buffer(content.stream)).equals(first.bytes)
await take(3, 100_000)

console.log(
  JSON.stringify({
    code: error instanceof Problem ? error.code : String(error),
    causeCode: error instanceof Problem && error.cause instanceof Error && 'code' in error.cause && error.cause.code,
    filesAfterwards: files.length,
    firstIsIntact,
    fitsAfterwards: (await store.find({ transferId, generation: '', partNumber: 3 })) !== null,
  }),
)
