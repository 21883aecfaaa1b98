/** The store in a bucket of S3, under the suite of the contract. */
import { recentParts } from '../../src/portal/store/recent.ts'
import { testBucket } from '../servers/radosgw.ts'
import { openS3Store } from '../suites/s3.ts'
import { testStore } from '../suites/store.ts'

testStore('s3', async () => {
  const store = await openS3Store(await testBucket())
  return { store, cleanUp: () => store.close() }
})

testStore('s3 below a prefix, without memory for parts that come in', async () => {
  const store = await openS3Store(await testBucket(), { prefix: 'a/b', spool: { bytesMax: 0, folder: '/tmp' } })
  return { store, cleanUp: () => store.close() }
})

testStore('memory before s3', async () => {
  const store = recentParts(await openS3Store(await testBucket()), { bytesMax: 10_000_000, keepMs: 1000 })
  return { store, cleanUp: () => store.close() }
})
