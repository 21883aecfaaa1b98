/** The connection to S3 fails for a while. The portal does not give up any stored transfer for that. */
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import pino from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { manifestDigestOf } from '../../src/digests/index.ts'
import { Deliveries } from '../../src/portal/deliveries/deliveries.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { Transfers } from '../../src/portal/uploads/transfers.ts'
import { formatContentDigest, newTransferId, Problem } from '../../src/protocol/index.ts'
import { FaultyNetwork } from '../e2e/harness/proxy.ts'
import { until } from '../e2e/harness/world.ts'
import { testBucket } from '../servers/radosgw.ts'
import { join } from '../suites/ledger.ts'
import { testS3Store } from '../suites/s3.ts'
import { somePart } from '../suites/store.ts'
import { aContext } from './context.ts'

const PART_BYTES = 2 * 1024 * 1024

/** A file of one part, stored in S3 and offered to its receiver. */
async function offered() {
  const bucket = await testBucket()
  const network = await FaultyNetwork.open(() => bucket.endpoint)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const store = await testS3Store(bucket, { endpoint: network.url, retryMs: 500 })
  const ledger = await sqliteLedger({ path: ':memory:' })
  onTestFinished(() => ledger.close())
  const lines: string[] = []
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line).msg) })
  const context = aContext({ ledger, store, log })
  const [transfers, deliveries] = [new Transfers(context), new Deliveries(context)]
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const transferId = newTransferId()
  const { key, bytes } = somePart(transferId, 1, PART_BYTES)
  await transfers.announce(ada, transferId, {
    to: ['bob'],
    metadata: { name: 'plan.pdf' },
    sizeBytes: PART_BYTES,
    partSizeBytes: PART_BYTES,
    digestAlgorithm: 'sha-256',
  })
  await transfers.receivePart(ada, transferId, {
    partNumber: 1,
    contentLength: String(PART_BYTES),
    contentDigest: formatContentDigest('sha-256', key.digest),
    body: Readable.from([Buffer.from(bytes)]),
    onBytes: () => {},
    signal: new AbortController().signal,
  })
  const manifestDigest = manifestDigestOf('sha-256', [key.digest])
  const stored = await transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  expect(stored.notification).toBe('stored')
  const [transfer] = await ledger.offerNext(bob.accountId, 'here', { leaseMs: 60_000, limit: 1 })
  const delivery = transfer?.deliveries[0]
  if (delivery?.state !== 'offered') throw new Error('it was not offered')
  const claim = { account: bob, transferId, leaseId: delivery.lease.leaseId, heldBytes: null }
  const signal = new AbortController().signal
  const fetchPart = async (): Promise<Buffer> => {
    const part = await deliveries.part(claim, 1, { waitMs: 0, signal, rangeOf: () => undefined, wantsLink: false })
    if (!('content' in part)) throw new Error('a link was not asked for')
    return buffer(part.content.stream)
  }
  return { network, store, deliveries, claim, key, bytes, fetchPart, lines }
}

test('a part that broke off on its way to a receiver, and cannot be verified just now, still counts as stored', async () => {
  const { network, store, key, bytes, fetchPart, lines } = await offered()
  /** Cuts the next answer of S3 and holds back those after it. */
  const cutNext = (): void => {
    let isFirst = true
    network.rule = ({ method }) => {
      if (method !== 'GET') return null
      const fault = isFirst ? { cutAnswerAfterBytes: 100_000 } : { refuse: true }
      isFirst = false
      return fault
    }
  }
  cutNext()
  await expect(fetchPart()).rejects.toMatchObject({ code: 'unavailable' })
  // The portal now verifies the parts that it holds.
  cutNext()
  await until(() => lines.includes('a part could not be checked'), 'the portal could not look')
  expect(lines).toContain('a part could not be read to its end')
  network.rule = () => null
  expect(await store.find(key)).toBe(key.digest)
  expect((await fetchPart()).equals(bytes)).toBe(true)
})

test('a part that was damaged on its way from S3 is sent again; the stored part does not count as damaged', async () => {
  const { network, deliveries, claim, bytes, fetchPart } = await offered()
  let damages = 2
  network.rule = ({ method, path }) =>
    method === 'GET' && path.includes('/1.') && damages-- > 0 ? { corruptAnswer: true } : null
  expect((await fetchPart()).equals(bytes)).toBe(false)
  const problem = new Problem('digest-mismatching-value').toJSON()
  const { account, transferId, leaseId } = claim
  const answer = { disposition: 'resend', leaseId, wanted: [[1, 1]], problem } as const
  expect(await deliveries.dispose(account, transferId, { ...answer, wanted: [[1, 1]] })).toBe('offered')
  expect((await fetchPart()).equals(bytes)).toBe(true)
})
