/** Stores in buckets of a real S3 server, for tests. */
import { onTestFinished } from 'vitest'
import type { Store } from '../../src/portal/store/contract.ts'
import { parseS3Address } from '../../src/portal/store/s3/address.ts'
import { type S3StoreOptions, s3Store } from '../../src/portal/store/s3.ts'
import type { TestBucket } from '../servers/radosgw.ts'

export interface S3Settings extends Partial<S3StoreOptions> {
  /** Another address of the server, for instance of a faulty proxy. */
  readonly endpoint?: string
  readonly prefix?: string
}

/** Opens a store in a bucket. The caller closes it. */
export function openS3Store(
  bucket: TestBucket,
  { endpoint, prefix = '', ...settings }: S3Settings = {},
): Promise<Store> {
  // The SDK reads credentials from the environment.
  Object.assign(process.env, bucket.env)
  const region = `region=${bucket.region}`
  const address = `s3://${bucket.bucket}/${prefix}?endpoint=${endpoint ?? bucket.endpoint}&${region}`
  return s3Store(parseS3Address(address), settings)
}

/** The same, closed after the test. */
export async function testS3Store(bucket: TestBucket, settings: S3Settings = {}): Promise<Store> {
  const store = await openS3Store(bucket, settings)
  onTestFinished(() => store.close())
  return store
}
