/** The storage loses, truncates or rejects data. The portal claims nothing false, and other transfers continue. */
import { spawnSync } from 'node:child_process'
import { readdir, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import type { PartKey, Store } from '../../src/portal/store/contract.ts'
import { fsStore } from '../../src/portal/store/fs.ts'
import { Sweeper } from '../../src/portal/sweeper.ts'
import { Transfers } from '../../src/portal/uploads/transfers.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { memoryStore } from '../suites/memory-store.ts'
import { aContext } from './context.ts'
import { contentDigest, KIB, manifestDigest, partSizeBytes, partsOf, refusalOf, TestPortal } from './portal.ts'

const content = Buffer.alloc(3 * partSizeBytes, 'some of what is sent')
const UNTIL_MS = 90_000

async function until<Value>(look: () => Promise<Value>, isIt: (value: Value) => boolean): Promise<Value> {
  const endAtMs = performance.now() + UNTIL_MS
  while (true) {
    const value = await look()
    if (isIt(value)) return value
    if (performance.now() > endAtMs) throw new Error(`it did not come to this in time: ${JSON.stringify(value)}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

function folderOf(portal: TestPortal, transferId: string): string {
  return join(portal.dataFolder, 'store', transferId.slice(-2), transferId)
}

test('a transfer whose parts vanish from the disk is not stored: the parts are requested again', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  for (const [index, bytes] of partsOf(content).entries()) await portal.putPart(transferId, index + 1, bytes)
  await rm(folderOf(portal, transferId), { recursive: true })
  const completion = { attempt: 1, manifestDigest: manifestDigest(content) }
  const verdict = await portal.client('alice').complete(transferId, completion)
  expect(verdict).toMatchObject({ notification: 'resend', wanted: [[1, 3]], problem: { code: 'parts-missing' } })
})

test('parts that vanish between listing and sealing are not acknowledged', async () => {
  const store = await fsStore(await testFolder())
  const transferId = newTransferId()
  const parts = { transferId, generation: '' }
  await put(store, { ...parts, partNumber: 1, digest: digestOf('sha-256', content) })
  expect((await store.list(parts)).size).toBe(1)
  const folder = await testFolder()
  const other = await fsStore(folder)
  await put(other, { ...parts, partNumber: 1, digest: digestOf('sha-256', content) })
  await other.list(parts)
  await rm(join(folder, transferId.slice(-2)), { recursive: true })
  await expect(other.seal(parts)).rejects.toMatchObject({ code: 'store-failed' })
  await expect(store.seal(parts)).resolves.toBeUndefined()
})

async function put(store: Store, key: PartKey): Promise<void> {
  const sink = await store.openPart(key)
  await sink.write([content])
  await sink.commit(key.digest)
}

test('a stored part that was truncated on the disk is detected, and the sender is notified', async () => {
  const portal = await TestPortal.start({ recentBytesMax: 0 })
  const transferId = await portal.store(content)
  const folder = folderOf(portal, transferId)
  const name = (await readdir(folder)).find((one) => one.startsWith('2.'))
  await truncate(join(folder, String(name)), 100)
  const { leaseId } = await portal.offerOf(transferId)
  const answer = await portal.ask('GET', `/v1/inbox/${transferId}/parts/2?lease=${leaseId}`, {
    token: portal.token('bob'),
  })
  expect(refusalOf(answer)).toBe('410 delivery-ended')
  const { notifications } = await portal.client('alice').transfer(transferId)
  expect(notifications.at(-1)).toMatchObject({
    notification: 'failed',
    problem: { code: 'stored-part-corrupt', partNumber: 2 },
  })
})

test('a part that was in flight when its upload was aborted is sent again; the new attempt continues', async () => {
  const portal = await TestPortal.start({ uploadTimeoutMs: 2_500, sweepMs: 50 })
  const alice = portal.client('alice')
  const transferId = await portal.announce(content)
  const [bytes = Buffer.alloc(0)] = partsOf(content)
  const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
    token: portal.token('alice'),
    headers: { 'content-digest': contentDigest(bytes) },
    body: bytes,
  })
  const socket = await portal.connect()
  let text = ''
  socket.on('data', (data) => {
    text += data
  })
  socket.write(request.subarray(0, -KIB))
  // The test reads the notification log, because a status request would postpone the timeout.
  await until(
    () => alice.events({ transferId }),
    ({ events }) => events.some((event) => event.notification === 'resend'),
  )
  socket.write(request.subarray(-KIB))
  await until(
    async () => text,
    (all) => all.includes('"code"'),
  )
  socket.destroy()
  expect(text).toContain('"part-incomplete"')
  expect(await alice.transfer(transferId)).toMatchObject({ state: 'receiving', attempt: 2 })
})

test('a sender that asks for the state is alive: its parts are not deleted while it hashes', async () => {
  const portal = await TestPortal.start({ uploadTimeoutMs: 3_000, sweepMs: 50 })
  const alice = portal.client('alice')
  const [transferId, silent] = [await portal.announce(content), await portal.announce(content)]
  const [bytes = Buffer.alloc(0)] = partsOf(content)
  for (const one of [transferId, silent]) await portal.putPart(one, 1, bytes)
  await until(
    async () => {
      await alice.transfer(transferId)
      return alice.events({ transferId: silent })
    },
    ({ events }) => events.length > 0,
  )
  expect(await alice.transfer(transferId)).toMatchObject({ attempt: 1, parts: [{ partNumber: 1 }] })
})

test('the reserved free space stays free, however many transfers were admitted', async () => {
  let freeBytes = 10 * partSizeBytes
  const store: Store = { ...memoryStore(), freeBytes: async () => freeBytes }
  const ledger = await sqliteLedger({ path: ':memory:' })
  const context = aContext({ ledger, store, options: { freeBytesMin: 4 * partSizeBytes } })
  const account = await opened(ledger, 'alice')
  const transfers = new Transfers(context)
  const transferId = newTransferId()
  const announcement = {
    to: ['alice'],
    metadata: { name: 'a' },
    sizeBytes: content.length,
    partSizeBytes,
    digestAlgorithm: 'sha-256',
  }
  await transfers.announce(account, transferId, announcement)
  freeBytes = 4 * partSizeBytes
  const [bytes = Buffer.alloc(0)] = partsOf(content)
  const { Readable } = await import('node:stream')
  const part = {
    partNumber: 1,
    contentLength: String(bytes.length),
    contentDigest: contentDigest(bytes),
    body: Readable.from([bytes]),
    signal: new AbortController().signal,
    onBytes: () => {},
  }
  await expect(transfers.receivePart(account, transferId, part)).rejects.toMatchObject({ code: 'storage-full' })
  expect((await transfers.status(account, transferId)).state).toBe('refused')
  await ledger.close()
})

test('concurrent requests for the state of a transfer cost one listing of the store', async () => {
  const inner = memoryStore()
  let listings = 0
  const store: Store = {
    ...inner,
    list: async (parts) => {
      listings++
      return inner.list(parts)
    },
  }
  const ledger = await sqliteLedger({ path: ':memory:' })
  const transfers = new Transfers(aContext({ ledger, store }))
  const account = await opened(ledger, 'alice')
  const transferId = newTransferId()
  await transfers.announce(account, transferId, {
    to: ['alice'],
    metadata: { name: 'a' },
    sizeBytes: content.length,
    partSizeBytes,
    digestAlgorithm: 'sha-256',
  })
  listings = 0
  await Promise.all(Array.from({ length: 20 }, () => transfers.status(account, transferId)))
  expect(listings).toBe(1)
  await transfers.status(account, transferId)
  expect(listings).toBe(2)
  await ledger.close()
})

test('a transfer that cannot be removed does not keep others from being swept', async () => {
  const inner = memoryStore()
  const stuck = newTransferId()
  const store: Store = {
    ...inner,
    removeParts: async (parts) => {
      if (parts.transferId === stuck) throw new Error('it is in use')
      await inner.removeParts(parts)
    },
  }
  let nowMs = 0
  const ledger = await sqliteLedger({ path: ':memory:', now: () => nowMs })
  const context = aContext({ ledger, store, options: { uploadTimeoutMs: 1000, expiryMs: 1e6 } })
  const account = await opened(ledger, 'alice')
  const transfers = new Transfers(context)
  const other = newTransferId()
  for (const transferId of [stuck, other]) {
    const announcement = {
      to: ['alice'],
      metadata: { name: 'a' },
      sizeBytes: 10,
      partSizeBytes,
      digestAlgorithm: 'sha-256',
    }
    await transfers.announce(account, transferId, announcement)
    nowMs++
  }
  nowMs += 2000
  await new Sweeper(context, transfers).sweep()
  expect(await ledger.transfer(stuck)).toMatchObject({ attempt: 1 })
  expect(await ledger.transfer(other)).toMatchObject({ attempt: 2 })
  await ledger.close()
})

test('while the store is unavailable one removal is tried, and not all of them', async () => {
  let tries = 0
  const store: Store = {
    ...memoryStore(),
    remove: async () => {
      tries++
      throw new Problem('unavailable')
    },
  }
  const ledger = await sqliteLedger({ path: ':memory:' })
  const context = aContext({ ledger, store })
  const account = await opened(ledger, 'alice')
  const transfers = new Transfers(context)
  for (let i = 0; i < 3; i++) {
    const transferId = newTransferId()
    await transfers.announce(account, transferId, {
      to: ['alice'],
      metadata: { name: 'a' },
      sizeBytes: 10,
      partSizeBytes,
      digestAlgorithm: 'sha-256',
    })
    await transfers.cancel(account, transferId, false)
  }
  await until(
    async () => tries,
    (count) => count === 3,
  )
  await new Sweeper(context, transfers).sweep()
  expect(tries).toBe(4)
  await ledger.close()
})

async function opened(ledger: Awaited<ReturnType<typeof sqliteLedger>>, name: string) {
  await ledger.createInvite({ name, secretHash: name, lifetimeMs: 1000 })
  const account = await ledger.redeemInvite(name, { tokenId: name, tokenHash: name })
  if (account === null) throw new Error('no account')
  return account
}

test('a system that is out of descriptors is not a broken storage', async () => {
  const folder = await testFolder()
  const script = `
    import { open } from 'node:fs/promises'
    import { fsStore } from '${new URL('../../src/portal/store/fs.ts', import.meta.url)}'
    const store = await fsStore(${JSON.stringify(folder)})
    const opened = []
    try { while (true) opened.push(await open('/dev/null')) } catch {}
    try { await store.openPart({ transferId: '${newTransferId()}', generation: '', partNumber: 1, digest: '00' }) }
    catch (error) { for (const one of opened) await one.close(); console.log(error.code) }`
  const limited = `ulimit -n 64 && exec "$0" --input-type=module-typescript -e "$1"`
  const { stdout, stderr } = spawnSync('bash', ['-c', limited, process.execPath, script], { encoding: 'utf8' })
  expect(stdout.trim(), stderr).toBe('unavailable')
})

test('a transfer is cancelled only while it is received, where that is asked', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('alice')
  const cancel = async (transferId: string, query: string) => {
    const { body } = await portal.ask('DELETE', `/v1/transfers/${transferId}${query}`, { token })
    return JSON.parse(body.toString()).state
  }
  expect(await cancel(await portal.store(content), '?state=receiving')).toBe('stored')
  expect(await cancel(await portal.announce(content), '?state=receiving')).toBe('cancelled')
  const refused = await portal.ask('DELETE', `/v1/transfers/${newTransferId()}?state=stored`, { token })
  expect(refusalOf(refused)).toBe('400 request-invalid')
})
