/**
 * The S3 store with faults of S3 or of the network: temporary errors are retried, and nothing false is acknowledged.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, onTestFinished, test } from 'vitest'
import { portalDefaults } from '../../src/portal/options.ts'
import type { PartKey, Store } from '../../src/portal/store/contract.ts'
import { s3StoreDefaults } from '../../src/portal/store/s3.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { type Fault, FaultyNetwork } from '../e2e/harness/proxy.ts'
import { ownRadosgw, type TestBucket, testBucket } from '../servers/radosgw.ts'
import { allowedMs } from '../suites/bounds.ts'
import { type S3Settings, testS3Store } from '../suites/s3.ts'
import { first, put, somePart } from '../suites/store.ts'

const SLOW_DOWN = { status: 503, body: '<Error><Code>SlowDown</Code><Message>Please</Message></Error>' }
const NOT_IMPLEMENTED = '<Error><Code>NotImplemented</Code></Error>'
const PART_BYTES = 3 * 1024 * 1024

/** A short idle time only for tests with a silent S3. On a busy machine S3 may be silent for half a second, and a counted request would be repeated. */
const idleAt = (fault: Fault): S3Settings => ('hang' in fault || 'loseAnswer' in fault ? { idleMs: 500 } : {})

interface Setting {
  readonly store: Store
  readonly network: FaultyNetwork
  /** The store of another portal, without faults. */
  readonly other: Store
  readonly bucket: TestBucket
}

async function behindNetwork(settings: S3Settings = {}): Promise<Setting> {
  const bucket = await testBucket()
  const network = await FaultyNetwork.open(() => bucket.endpoint)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const store = await testS3Store(bucket, { ...settings, endpoint: network.url })
  return { store, network, bucket, other: await testS3Store(bucket) }
}

/** Applies a fault to the first requests of a method for a part. */
function spoil(network: FaultyNetwork, method: string, fault: Fault, times = 1): void {
  network.rule = (seen) => (seen.method === method && seen.count <= times ? fault : null)
}

async function contentOf(store: Store, key: PartKey): Promise<Buffer | null> {
  const content = await store.read(key)
  return content === null ? null : buffer(content.stream)
}

async function isHeld(store: Store, { key, bytes }: ReturnType<typeof somePart>): Promise<boolean> {
  return (await contentOf(store, key))?.equals(bytes) === true
}

describe('a part on its way to S3', () => {
  const passing: Record<string, { fault: Fault; times?: number }> = {
    'that was damaged': { fault: { corruptRequest: true } },
    'that was damaged twice': { fault: { corruptRequest: true }, times: 2 },
    'that S3 has no time for': { fault: { answer: SLOW_DOWN }, times: 3 },
    'that S3 fails at': { fault: { answer: { status: 500, body: '<Error><Code>InternalError</Code></Error>' } } },
    'that a proxy fails at': { fault: { answer: { status: 502, body: '<html>Bad Gateway' } }, times: 2 },
    'whose connection is reset': { fault: { refuse: true }, times: 2 },
    'that was cut': { fault: { cutRequestAfterBytes: 1_000_000 } },
    'that nobody answers': { fault: { hang: true } },
    'whose answer is lost': { fault: { loseAnswer: true } },
  }
  for (const [what, { fault, times = 1 }] of Object.entries(passing)) {
    test(`${what} is sent again`, async () => {
      const { store, network, other } = await behindNetwork(idleAt(fault))
      spoil(network, 'PUT', fault, times)
      const part = somePart(newTransferId(), 1, PART_BYTES)
      await put(store, part)
      expect(network.count('PUT', /\/1\./)).toBe(times + 1)
      expect(await isHeld(other, part)).toBe(true)
    })
  }

  test('that lies in a spool file is sent again, too', async () => {
    const { store, network, other } = await behindNetwork({ spool: { bytesMax: 1024 * 1024, folder: '/tmp' } })
    spoil(network, 'PUT', { cutRequestAfterBytes: 2_000_000 }, 2)
    const part = somePart(newTransferId(), 1, PART_BYTES)
    await put(store, part)
    expect(await isHeld(other, part)).toBe(true)
  })

  const lasting: Record<string, { fault: Fault; code: string }> = {
    'that is damaged again and again is not stored, and may be sent later': {
      fault: { corruptRequest: true },
      code: 'unavailable',
    },
    'that S3 never has time for may be sent later': { fault: { answer: SLOW_DOWN }, code: 'unavailable' },
    'that never gets through may be sent later': { fault: { refuse: true }, code: 'unavailable' },
    'that may not be stored is refused': {
      fault: { answer: { status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } },
      code: 'store-failed',
    },
    'that there is no quota for is refused': {
      fault: { answer: { status: 403, body: '<Error><Code>QuotaExceeded</Code></Error>' } },
      code: 'storage-full',
    },
    'that there is no room for is refused': { fault: { answer: { status: 507, body: '' } }, code: 'storage-full' },
  }
  for (const [what, { fault, code }] of Object.entries(lasting)) {
    test(what, async () => {
      const { store, network, other } = await behindNetwork({ retryMs: 700 })
      spoil(network, 'PUT', fault, Number.POSITIVE_INFINITY)
      const part = somePart(newTransferId(), 1, PART_BYTES)
      await expect(put(store, part)).rejects.toMatchObject({ code })
      expect(await contentOf(other, part.key)).toBeNull()
      expect((await other.list(first(part.key.transferId))).size).toBe(0)
      network.rule = () => null
      await put(store, part)
      expect(await isHeld(other, part)).toBe(true)
    })
  }

  test('into a bucket that was removed is refused', async () => {
    const bucket = await testBucket()
    const network = await FaultyNetwork.open(() => bucket.endpoint)
    onTestFinished(() => network[Symbol.asyncDispose]())
    const store = await testS3Store(bucket, { endpoint: network.url })
    network.rule = () => ({ answer: { status: 404, body: '<Error><Code>NoSuchBucket</Code></Error>' } })
    const part = somePart(newTransferId(), 1)
    await expect(put(store, part)).rejects.toMatchObject({ code: 'store-failed' })
    await expect(store.read(part.key)).rejects.toMatchObject({ code: 'store-failed' })
    await expect(store.find(part.key)).rejects.toMatchObject({ code: 'store-failed' })
  })
})

describe('a part on its way from S3', () => {
  const passing: Record<string, Fault> = {
    'that was cut': { cutAnswerAfterBytes: 1_000_000 },
    'whose connection is reset': { refuse: true },
    'that S3 has no time for': { answer: SLOW_DOWN },
    'that nobody answers': { hang: true },
  }
  for (const [what, fault] of Object.entries(passing)) {
    test(`${what} arrives complete`, async () => {
      const { store, network, other } = await behindNetwork(idleAt(fault))
      const part = somePart(newTransferId(), 1, PART_BYTES)
      await put(other, part)
      spoil(network, 'GET', fault, 2)
      expect(await isHeld(store, part)).toBe(true)
      expect(network.count('GET', /\/1\./)).toBe(3)
      const content = await store.read(part.key, { startByte: 5, endByte: 2_500_000 })
      expect(content).toMatchObject({ lengthBytes: 2_499_996, partBytes: PART_BYTES })
      const bytes = content === null ? null : await buffer(content.stream)
      expect(bytes?.equals(part.bytes.subarray(5, 2_500_001))).toBe(true)
    })
  }

  test('whose range is cut arrives complete', async () => {
    const { store, network, other } = await behindNetwork()
    const part = somePart(newTransferId(), 1, PART_BYTES)
    await put(other, part)
    spoil(network, 'GET', { cutAnswerAfterBytes: 600_000 }, 3)
    const content = await store.read(part.key, { startByte: 5, endByte: 2_500_000 })
    const bytes = content === null ? null : await buffer(content.stream)
    expect(bytes?.equals(part.bytes.subarray(5, 2_500_001))).toBe(true)
  })

  test('that breaks off permanently breaks its reader', async () => {
    const { store, network, other } = await behindNetwork({ retryMs: 700 })
    const part = somePart(newTransferId(), 1, PART_BYTES)
    await put(other, part)
    network.rule = ({ method, count }) => {
      if (method !== 'GET') return null
      return count === 1 ? { cutAnswerAfterBytes: 1_000_000 } : { refuse: true }
    }
    await expect(contentOf(store, part.key)).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('that is removed meanwhile breaks its reader', async () => {
    const { store, network, other } = await behindNetwork()
    const part = somePart(newTransferId(), 1, PART_BYTES)
    await put(other, part)
    spoil(network, 'GET', { cutAnswerAfterBytes: 1_000_000 })
    const content = await store.read(part.key)
    await other.removePart(part.key)
    await expect(content === null ? null : buffer(content.stream)).rejects.toMatchObject({ code: 'store-failed' })
  })

  test('that is read slowly outlives its connection', async () => {
    const { store, network, other } = await behindNetwork({ idleMs: 300, retryMs: 5_000 })
    const part = somePart(newTransferId(), 1, 8 * PART_BYTES)
    await put(other, part)
    const content = await store.read(part.key)
    const came: Buffer[] = []
    for await (const bytes of content?.stream ?? []) {
      came.push(bytes)
      // Longer than a connection may be idle, while S3 still has most of it.
      if (came.length === 3 || came.length === 30) await setTimeout(1_000)
    }
    expect(Buffer.concat(came).equals(part.bytes)).toBe(true)
    expect(network.count('GET', /\/1\./)).toBeGreaterThan(1)
  })

  test('is not delayed by slow readers of another account', () => {
    expect(s3StoreDefaults.readsMax).toBeGreaterThanOrEqual(2 * portalDefaults.accountConnectionsMax)
  })

  test('uses a connection until its reader has left', async () => {
    const { store, other } = await behindNetwork({ readsMax: 2, retryMs: 700 })
    const part = somePart(newTransferId(), 1, 8 * PART_BYTES)
    await put(other, part)
    const open = [await store.read(part.key), await store.read(part.key)]
    await expect(store.read(part.key)).rejects.toMatchObject({ code: 'unavailable' })
    // Other requests do not wait for readers.
    await put(store, somePart(part.key.transferId, 2))
    for (const content of open) content?.stream.destroy()
    expect(await isHeld(store, part)).toBe(true)
  })
})

describe('parts that are removed', () => {
  const some = (transferId: string) => [1, 2, 3].map((partNumber) => somePart(transferId, partNumber, 10))

  test('are removed one by one where S3 has no bulk removal', async () => {
    const { store, network, other } = await behindNetwork()
    network.rule = ({ method }) => (method === 'POST' ? { answer: { status: 501, body: NOT_IMPLEMENTED } } : null)
    for (const transferId of [newTransferId(), newTransferId()]) {
      for (const part of some(transferId)) await put(other, part)
      await store.remove(transferId)
      expect((await other.list(first(transferId))).size).toBe(0)
    }
    // One request of the probe, and one try.
    expect(network.count('POST', /./)).toBe(2)
    expect(network.count('DELETE', /\/[123]\./)).toBe(6)
  })

  test('are removed again where S3 could not remove some, and missing permission is reported', async () => {
    const { store, network, other } = await behindNetwork({ retryMs: 2_000 })
    const transferId = newTransferId()
    const parts = some(transferId)
    for (const part of parts) await put(other, part)
    const failing = (code: string): Fault => {
      const errors = parts.map(
        ({ key }) => `<Error><Key>${transferId}/${key.partNumber}.${key.digest}</Key><Code>${code}</Code></Error>`,
      )
      return { answer: { status: 200, body: `<DeleteResult>${errors.join('')}</DeleteResult>` } }
    }
    network.rule = ({ method, count }) => (method === 'POST' && count === 2 ? failing('InternalError') : null)
    await store.remove(transferId)
    expect(network.count('POST', /./)).toBe(3)
    expect((await other.list(first(transferId))).size).toBe(0)
    network.rule = ({ method }) => (method === 'POST' ? failing('AccessDenied') : null)
    for (const part of parts) await put(other, part)
    await expect(store.remove(transferId)).rejects.toMatchObject({ code: 'store-failed' })
  })

  test('are gone although the answer was lost', async () => {
    const { store, network, other } = await behindNetwork()
    const transferId = newTransferId()
    for (const part of some(transferId)) await put(other, part)
    network.rule = ({ method, count }) => (method === 'POST' && count === 2 ? { loseAnswer: true } : null)
    await store.remove(transferId)
    expect((await other.list(first(transferId))).size).toBe(0)
  })
})

describe('S3 that cannot be reached', () => {
  test('fails nothing when it comes back within the limit, and is reported otherwise', async () => {
    await using gateway = await ownRadosgw()
    const store = await testS3Store(await gateway.bucket(), { retryMs: 10_000, idleMs: 1_000 })
    const transferId = newTransferId()
    await put(store, somePart(transferId, 1, PART_BYTES))
    await gateway.kill()
    const parts = [2, 3, 4].map((partNumber) => somePart(transferId, partNumber, PART_BYTES))
    const putting = Promise.all(parts.map((part) => put(store, part)))
    await gateway.start()
    await putting
    expect((await store.list(first(transferId))).size).toBe(4)

    gateway.pause()
    const late = somePart(transferId, 5, PART_BYTES)
    const puttingLate = put(store, late)
    await setTimeout(1_500)
    gateway.resume()
    await puttingLate
    expect(await isHeld(store, late)).toBe(true)
  })

  test('is reported within the limit, and everything works again afterwards', async () => {
    await using gateway = await ownRadosgw()
    const store = await testS3Store(await gateway.bucket(), { retryMs: 1_000, idleMs: 1_000 })
    const [held, late] = [somePart(newTransferId(), 1, PART_BYTES), somePart(newTransferId(), 1, PART_BYTES)]
    await put(store, held)
    await gateway.kill()
    const startedAtMs = performance.now()
    const unavailable = { code: 'unavailable' }
    await expect(put(store, late)).rejects.toMatchObject(unavailable)
    await expect(store.read(held.key)).rejects.toMatchObject(unavailable)
    await expect(store.list(first(held.key.transferId))).rejects.toMatchObject(unavailable)
    await expect(store.remove(held.key.transferId)).rejects.toMatchObject(unavailable)
    expect(performance.now() - startedAtMs).toBeLessThan(allowedMs(10_000))
    await gateway.start()
    expect(await isHeld(store, held)).toBe(true)
    await put(store, late)
    expect(await isHeld(store, late)).toBe(true)
  })
})

test('a portal that is killed while it stores a part leaves nothing that counts as one', async () => {
  const { network, other, bucket } = await behindNetwork()
  const transferId = newTransferId()
  network.rule = ({ method, path }) => (method === 'PUT' && path.includes('/1.') ? { bytesPerSecond: 500_000 } : null)
  const address = `s3://${bucket.bucket}?endpoint=${network.url}&region=${bucket.region}`
  const writer = fork(join(import.meta.dirname, 's3-writer.ts'), [address, transferId], { env: bucket.env })
  onTestFinished(() => {
    writer.kill('SIGKILL')
  })
  await expect.poll(() => network.count('PUT', /\/1\./), { timeout: 90_000 }).toBe(1)
  const exited = once(writer, 'exit')
  writer.kill('SIGKILL')
  expect(await exited).toEqual([null, 'SIGKILL'])
  expect((await other.list(first(transferId))).size).toBe(0)
  const part = somePart(transferId, 1)
  await put(other, part)
  expect([...(await other.list(first(transferId)))]).toEqual([[1, part.key.digest]])
})
