/**
 * S3 for tests, by Ceph's gateway. All tests of a run share one server, and each test gets an empty bucket. A test in
 * which the server fails starts a separate one.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { type AccessKey, Ceph } from './ceph.ts'
import { oncePerRun } from './run.ts'
import { onFreePort, type ServerProcess } from './server-process.ts'

const REGION = 'us-east-1'
const ANSWER_MS_MAX = 30_000

export interface TestBucket {
  readonly bucket: string
  /** `http://…`, without a slash at the end. */
  readonly endpoint: string
  readonly region: string
  /** The value for `--store`. */
  readonly address: string
  /** The credentials, as environment variables of AWS programs. */
  readonly env: { readonly AWS_ACCESS_KEY_ID: string; readonly AWS_SECRET_ACCESS_KEY: string }
}

interface Gateway {
  readonly endpoint: string
  readonly key: AccessKey
}

/** Creates a bucket in the server of this run. The first call starts the server. */
export async function testBucket(): Promise<TestBucket> {
  const gateway = await oncePerRun<Gateway>('radosgw', async () => {
    const { endpoint, key } = await OwnRadosgw.start()
    return { endpoint, key }
  })
  return makeBucket(gateway)
}

/** Starts a separate server. */
export function ownRadosgw(): Promise<OwnRadosgw> {
  return OwnRadosgw.start()
}

/**
 * A server that can be killed and started again, on the same port and with the same buckets. A paused one accepts
 * connections and never answers.
 */
export class OwnRadosgw implements AsyncDisposable, Gateway {
  readonly endpoint: string
  readonly key: AccessKey
  readonly #port: number
  readonly #ceph: Ceph
  #process: ServerProcess | null = null

  private constructor(ceph: Ceph, key: AccessKey, port: number) {
    this.#ceph = ceph
    this.#port = port
    this.key = key
    this.endpoint = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<OwnRadosgw> {
    const ceph = await Ceph.start()
    const key = { accessKeyId: randomBytes(8).toString('hex'), secretAccessKey: randomBytes(16).toString('hex') }
    // The first request initialises the gateway's data. No other request may run at the same time.
    await ceph.user(key)
    return onFreePort(async (port) => {
      const gateway = new OwnRadosgw(ceph, key, port)
      await gateway.start()
      return gateway
    })
  }

  /** Starts it again. Resolves when it answers. */
  async start(): Promise<void> {
    this.#process = await this.#ceph.gateway(this.#port, () => answers(this.endpoint))
  }

  /** Ends it at once: connections break, new ones are refused. Acknowledged data stays. */
  async kill(): Promise<void> {
    await this.#process?.end()
  }

  pause(): void {
    this.#process?.signal('SIGSTOP')
  }

  resume(): void {
    this.#process?.signal('SIGCONT')
  }

  /** Creates an empty bucket. */
  bucket(): Promise<TestBucket> {
    return makeBucket(this)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ceph.end()
  }
}

/** Creates an empty bucket in any S3 server. */
export async function makeBucket({ endpoint, key }: Gateway): Promise<TestBucket> {
  const bucket = `test-${randomBytes(8).toString('hex')}`
  await putBucket(endpoint, bucket, key)
  return {
    bucket,
    endpoint,
    region: REGION,
    address: `s3://${bucket}?endpoint=${endpoint}&region=${REGION}`,
    env: { AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey },
  }
}

/**
 * The only direct S3 request of the tests, signed according to
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
 */
async function putBucket(endpoint: string, bucket: string, { accessKeyId, secretAccessKey }: AccessKey): Promise<void> {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = [time.slice(0, 8), REGION, 's3', 'aws4_request']
  const contentHash = sha256('')
  const signedHeaders = 'host;x-amz-content-sha256;x-amz-date'
  const headers = `host:${new URL(endpoint).host}\nx-amz-content-sha256:${contentHash}\nx-amz-date:${time}\n`
  const request = ['PUT', `/${bucket}`, '', headers, signedHeaders, contentHash].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', time, scope.join('/'), sha256(request)].join('\n')
  const key = scope.reduce<string | Buffer>((secret, word) => hmac(secret, word).digest(), `AWS4${secretAccessKey}`)
  const signature = hmac(key, toSign).digest('hex')
  const credential = `${accessKeyId}/${scope.join('/')}`
  const answer = await fetch(`${endpoint}/${bucket}`, {
    method: 'PUT',
    headers: {
      'x-amz-content-sha256': contentHash,
      'x-amz-date': time,
      authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${signedHeaders}, Signature=${signature}`,
    },
    signal: AbortSignal.timeout(ANSWER_MS_MAX),
  })
  if (!answer.ok) throw new Error(`making a bucket failed with ${answer.status}: ${await answer.text()}`)
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    const answer = await fetch(endpoint, { signal: AbortSignal.timeout(ANSWER_MS_MAX) })
    await answer.arrayBuffer()
    return true
  } catch {
    // It is not ready yet. The caller decides when to give up.
    return false
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string) {
  return createHmac('sha256', key).update(text)
}
