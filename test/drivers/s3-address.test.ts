/** The address of a bucket, and the error messages for unusable ones. */
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { parseS3Address } from '../../src/portal/store/s3/address.ts'
import { s3Store } from '../../src/portal/store/s3.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { type Fault, FaultyNetwork, type Seen } from '../e2e/harness/proxy.ts'
import { testBucket } from '../servers/radosgw.ts'
import { openS3Store, testS3Store } from '../suites/s3.ts'
import { first, put, somePart } from '../suites/store.ts'

describe('an address', () => {
  const plain = {
    bucket: 'files',
    prefix: '',
    endpoint: null,
    publicEndpoint: null,
    region: null,
    isPathStyle: false,
  }
  const own = { ...plain, endpoint: 'http://127.0.0.1:9000', region: 'us-east-1', isPathStyle: true }
  test.each([
    ['s3://files', plain],
    ['s3://files/', plain],
    ['s3://files?region=eu-central-1', { ...plain, region: 'eu-central-1' }],
    ['s3://files/a/b/?pathStyle=true', { ...plain, prefix: 'a/b/', isPathStyle: true }],
    ['s3://files?endpoint=http://127.0.0.1:9000', own],
    ['s3://files?endpoint=http%3A%2F%2F127.0.0.1%3A9000%2F', own],
    [
      's3://files?endpoint=http://127.0.0.1:9000&region=here&pathStyle=false',
      { ...own, region: 'here', isPathStyle: false },
    ],
    [
      's3://files?endpoint=http://127.0.0.1:9000&publicEndpoint=https://s3.example',
      { ...own, publicEndpoint: 'https://s3.example' },
    ],
  ])('%s is parsed', (text, expected) => {
    expect(parseS3Address(text)).toEqual(expected)
  })

  test.each([
    ['files', /s3:\/\/BUCKET/],
    ['https://files', /begins with s3:\/\//],
    ['s3://', /names no bucket/],
    ['s3://a', /names no bucket/],
    ['s3://files:9000', /has a port/],
    ['s3://files#x', /'#'/],
    ['s3://files/a//b', /prefix/],
    ['s3://files/a%20b', /prefix/],
    ['s3://files?bucket=x', /no setting 'bucket'/],
    ['s3://files?region=a&region=b', /twice/],
    ['s3://files?region=', /'region'/],
    ['s3://files?pathStyle=yes', /'pathStyle'/],
    ['s3://files?endpoint=127.0.0.1:9000', /'endpoint'/],
    ['s3://files?endpoint=ftp://x', /'endpoint'/],
    ['s3://files?publicEndpoint=x', /'publicEndpoint'/],
  ])('%s is refused, with the correct form', (text, why) => {
    expect(() => parseS3Address(text)).toThrow(why)
    expect(() => parseS3Address(text)).toThrow(expect.objectContaining({ code: 'storage-unusable' }))
  })

  test.each([
    's3://key:hunter2@files',
    's3://hunter2@files',
    's3://files?endpoint=http://key:hunter2@127.0.0.1',
    's3://files?accessKeyId=hunter2',
    's3://files?secret_access_key=hunter2',
  ])('with credentials is refused, and the message does not repeat them: %s', (text) => {
    expect(() => parseS3Address(text)).toThrow(/AWS_ACCESS_KEY_ID/)
    expect(() => parseS3Address(text)).not.toThrow(/hunter2/)
  })
})

describe('a bucket that cannot be used is reported before the portal serves', () => {
  const quick = { probeRetryMs: 300, connectMs: 300, idleMs: 1_000 }
  const patient = { probeRetryMs: 60_000 }

  async function told(opening: Promise<unknown>): Promise<string> {
    const problem = await opening.then(
      () => null,
      (error: unknown) => error,
    )
    expect(problem).toMatchObject({ code: 'storage-unusable' })
    return (problem as Error).message
  }

  async function withRule(rule: (seen: Seen) => ReturnType<FaultyNetwork['rule']>) {
    const bucket = await testBucket()
    const network = await FaultyNetwork.open(() => bucket.endpoint)
    onTestFinished(() => network[Symbol.asyncDispose]())
    network.rule = rule
    return { bucket, network }
  }

  test('when it does not exist', async () => {
    const bucket = { ...(await testBucket()), bucket: 'not-there' }
    expect(await told(openS3Store(bucket, quick))).toMatch(/no bucket 'not-there'.*create it/)
  })

  test('when the credentials are unknown or wrong', async () => {
    const bucket = await testBucket()
    for (const wrong of [{ AWS_ACCESS_KEY_ID: 'nobody' }, { AWS_SECRET_ACCESS_KEY: 'wrong' }]) {
      const message = await told(openS3Store({ ...bucket, env: { ...bucket.env, ...wrong } }, quick))
      expect(message).toMatch(/does not know the credentials.*AWS_ACCESS_KEY_ID/)
    }
  })

  test('when there are no credentials', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined)
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true')
    vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', '/dev/null')
    vi.stubEnv('AWS_CONFIG_FILE', '/dev/null')
    onTestFinished(() => {
      vi.unstubAllEnvs()
    })
    const address = parseS3Address('s3://files?endpoint=http://127.0.0.1:9')
    expect(await told(s3Store(address, quick))).toMatch(/no credentials.*AWS_ACCESS_KEY_ID/)
  })

  test('when there is no region', async () => {
    const { env } = await testBucket()
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value)
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION']) vi.stubEnv(name, undefined)
    vi.stubEnv('AWS_CONFIG_FILE', '/dev/null')
    onTestFinished(() => {
      vi.unstubAllEnvs()
    })
    expect(await told(s3Store(parseS3Address('s3://files'), quick))).toMatch(/no region.*region=REGION/)
  })

  test('when access is denied', async () => {
    const { bucket, network } = await withRule(({ method }) =>
      method === 'PUT' ? { answer: { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } } : null,
    )
    expect(await told(openS3Store(bucket, { ...quick, endpoint: network.url }))).toMatch(/s3:PutObject/)
  })

  test('when it cannot be reached', async () => {
    const endpoint = 'http://127.0.0.1:9'
    expect(await told(openS3Store(await testBucket(), { ...quick, endpoint }))).toMatch(
      /http:\/\/127\.0\.0\.1:9 cannot be reached.*correct 'endpoint'/,
    )
  })

  test('when the server does not answer', async () => {
    const { bucket, network } = await withRule(() => ({ hang: true }))
    expect(await told(openS3Store(bucket, { ...quick, endpoint: network.url }))).toMatch(/cannot be reached/)
  })

  test('when the server does not detect damaged content', async () => {
    const { bucket, network } = await withRule(({ method, path }) =>
      method === 'PUT' && path.endsWith('/damaged') ? { answer: { status: 200, body: '' } } : null,
    )
    expect(await told(openS3Store(bucket, { ...quick, endpoint: network.url }))).toMatch(/x-amz-content-sha256/)
  })

  const passing: readonly Fault[] = [
    { answer: { status: 429, body: '' } },
    { answer: { status: 400, body: '<Error><Code>RequestTimeout</Code></Error>' } },
    { answer: { status: 503, body: '<Error><Code>SlowDown</Code></Error>' } },
    { refuse: true },
  ]

  test.each(passing)('when the server does not detect damaged content, and has no time at first: %o', async (fault) => {
    const { bucket, network } = await withRule(({ method, path, count }) => {
      if (method !== 'PUT' || !path.endsWith('/damaged')) return null
      return count === 1 ? fault : { answer: { status: 200, body: '' } }
    })
    expect(await told(openS3Store(bucket, { ...patient, endpoint: network.url }))).toMatch(/x-amz-content-sha256/)
  })

  test.each([...passing, { cutAnswerAfterBytes: 1 }])(
    'but not one whose server has no time at first: %o',
    async (fault) => {
      const { bucket, network } = await withRule(({ count }) => (count === 1 ? fault : null))
      await testS3Store(bucket, { ...patient, endpoint: network.url })
    },
  )

  test('when the server returns other content', async () => {
    const { bucket, network } = await withRule(({ method, path }) =>
      method === 'GET' && path.endsWith('/sound') ? { corruptAnswer: true } : null,
    )
    expect(await told(openS3Store(bucket, { ...quick, endpoint: network.url }))).toMatch(/does not give back/)
  })

  test('and a usable bucket is left unchanged', async () => {
    const bucket = await testBucket()
    const store = await testS3Store(bucket)
    const link = await store.linkTo?.(somePart(newTransferId(), 1).key, { lifetimeMs: 1_000 })
    expect(link).toContain(`/${bucket.bucket}/`)
    for await (const held of store.held()) expect(held).toBeNull()
  })
})

describe('an S3 server without conditional puts', () => {
  test.each([501, 400, 200])('that answers %i to one is used without them', async (status) => {
    const bucket = await testBucket()
    const network = await FaultyNetwork.open(() => bucket.endpoint)
    onTestFinished(() => network[Symbol.asyncDispose]())
    const count = status === 200 ? 2 : 1
    network.rule = (seen) =>
      seen.method === 'PUT' && seen.path.endsWith('/sound') && seen.count === count
        ? { answer: { status, body: '' } }
        : null
    const store = await testS3Store(bucket, { endpoint: network.url })
    const other = await testS3Store(bucket, { endpoint: network.url })
    const transferId = newTransferId()
    const [held, late] = [somePart(transferId, 1), somePart(transferId, 1)]
    await put(store, held)
    const puts = network.count('PUT', /\/1\./)
    await put(other, held)
    await expect(put(other, late)).rejects.toMatchObject({ code: 'part-conflict' })
    expect(network.count('PUT', /\/1\./)).toBe(puts)
    expect([...(await store.list(first(transferId)))]).toEqual([[1, held.key.digest]])
  })
})
