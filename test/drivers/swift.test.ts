/** The store in OpenStack Swift, which answers conditional puts with 501 and needs Content-MD5 to delete many objects. */
import { swiftBucket } from '../servers/swift.ts'
import { openS3Store } from '../suites/s3.ts'
import { testStore } from '../suites/store.ts'

/** Each part is a file of four Python programs. */

testStore('s3 of OpenStack Swift', async () => {
  const store = await openS3Store(await swiftBucket())
  return { store, cleanUp: () => store.close() }
})
