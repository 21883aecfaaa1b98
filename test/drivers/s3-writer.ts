/** A process that puts a part into S3, and is killed while it does: see `s3-faults.test.ts`. */
import { randomBytes } from 'node:crypto'
import { digestOf } from '../../src/digests/index.ts'
import { parseS3Address } from '../../src/portal/store/s3/address.ts'
import { s3Store } from '../../src/portal/store/s3.ts'

const PART_BYTES = 3 * 1024 * 1024
const [, , address = '', transferId = ''] = process.argv

const store = await s3Store(parseS3Address(address))
const bytes = randomBytes(PART_BYTES)
const sink = await store.openPart({ transferId, generation: '', partNumber: 1 })
await sink.write([bytes])
await sink.commit(digestOf('sha-256', bytes))
