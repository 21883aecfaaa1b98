/** The portal reads a bounded amount for a receiver that reports damaged parts, however often it asks and disconnects. */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Account } from '../../../src/portal/ledger/contract.ts'
import type { Store } from '../../../src/portal/store/contract.ts'
import { newTransferId, Problem } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { join } from '../../suites/ledger.ts'
import { KIB, partSizeBytes, TestPortal } from '../portal.ts'
import { aFile, begin, type Portal } from '../several.ts'

const problem = new Problem('digest-mismatching-value').toJSON()
const all: [number, number][] = [[1, 2]]
const leaseMs = 60_000

/** A store that holds each read back until the test releases it, and that counts the reads. */
function withSlowReads(store: Store) {
  const open = new Set<Readable>()
  const slow = { opened: 0, listed: 0, open, store: { ...store } }
  slow.store.list = async (attempt) => {
    const parts = await store.list(attempt)
    // By then the request waits for its first part.
    void setImmediate().then(() => slow.listed++)
    return parts
  }
  slow.store.read = async (key, range) => {
    const content = await store.read(key, range)
    if (content === null) return null
    content.stream.destroy()
    slow.opened += 1
    const stream = new Readable({ read: () => {} })
    open.add(stream)
    stream.once('close', () => open.delete(stream))
    return { ...content, stream }
  }
  return slow
}

async function leaseOf({ context }: Portal, { accountId }: Account): Promise<string> {
  const [offered] = await context.ledger.offerNext(accountId, 'instance', { leaseMs, limit: 1 })
  const delivery = offered?.deliveries.find(({ receiverId }) => receiverId === accountId)
  if (delivery?.state !== 'offered') throw new Error('nothing was offered')
  return delivery.lease.leaseId
}

/** A stored transfer to bob and carol at a portal with a slow store. */
async function scene() {
  const shared = await begin({ attemptsMax: 3 })
  const { ledger, ada, bob, portal } = shared
  const carol = await join(ledger, 'carol')
  const slow = withSlowReads({ ...shared.store, traits: { isShared: false } })
  const one = portal('one', { store: slow.store })
  const { transferId, announcement, manifestDigest, put } = aFile()
  await one.transfers.announce(ada, transferId, { ...announcement, to: ['bob', 'carol'] })
  await put(one, ada)
  await one.transfers.complete(ada, transferId, { attempt: 1, manifestDigest })
  // The portal lists the parts first.
  await setImmediate()
  slow.listed = 0
  const ask = async (account: Account, leaseId: string, signal: AbortSignal) =>
    one.deliveries.dispose(account, transferId, { disposition: 'resend', leaseId, problem, wanted: all }, signal)
  return { one, slow, ask, bob, carol }
}

test('a receiver that asks again and disconnects is counted each time, and the portal stops reading', async () => {
  const { one, slow, ask, bob } = await scene()
  const leaseId = await leaseOf(one, bob)
  const states: string[] = []
  for (let tries = 1; tries <= 3; tries++) {
    const gone = new AbortController()
    const asked = ask(bob, leaseId, gone.signal)
    await until(() => slow.opened === tries, 'a part is being read')
    gone.abort()
    states.push(await asked)
    await until(() => slow.open.size === 0, 'the portal stops reading')
  }
  expect(states).toEqual(['offered', 'offered', 'failed'])
  expect(await ask(bob, leaseId, new AbortController().signal)).toBe('failed')
  expect(slow.opened, 'no more than the tries that are allowed').toBe(3)
})

test('of concurrent requests of one receiver one is processed, and those that left meanwhile are not', async () => {
  const { one, slow, ask, bob } = await scene()
  const leaseId = await leaseOf(one, bob)
  const gone = new AbortController()
  const asked = Array.from({ length: 40 }, () => ask(bob, leaseId, gone.signal))
  await until(() => slow.opened > 0, 'a part is being read')
  gone.abort()
  expect(new Set(await Promise.all(asked))).toEqual(new Set(['offered']))
  expect(slow.opened).toBe(1)
})

test('a part that two receivers ask for is read once for both, until both have left', async () => {
  const { one, slow, ask, bob, carol } = await scene()
  const [bobGone, carolGone] = [new AbortController(), new AbortController()]
  const ofBob = ask(bob, await leaseOf(one, bob), bobGone.signal)
  const ofCarol = ask(carol, await leaseOf(one, carol), carolGone.signal)
  await until(() => slow.opened === 1 && slow.listed === 2, 'both wait for the part that is being read')
  bobGone.abort()
  expect(await ofBob).toBe('offered')
  expect(slow.open.size).toBe(1)
  carolGone.abort()
  expect(await ofCarol).toBe('offered')
  await until(() => slow.open.size === 0, 'the portal stops reading')
  expect(slow.opened).toBe(1)
})

/** How many bytes this process has read from files and sockets. */
async function readBytes(): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await readFile('/proc/self/io', 'utf8'))?.[1])
}

test('connections that ask for a large file again and close at once cost next to nothing', async () => {
  const portal = await TestPortal.start()
  const content = randomBytes(512 * partSizeBytes)
  const transferId = newTransferId()
  const headers = { 'idempotency-key': transferId, prefer: 'wait=0' }
  const sent = { token: portal.token('alice'), headers, body: content }
  expect((await portal.ask('PUT', '/v1/to/bob/large.bin', sent)).status).toBe(200)
  const { leaseId } = await portal.offerOf(transferId)
  const body = { disposition: 'resend', leaseId, problem, wanted: [[1, 9999]] }
  const path = `/v1/inbox/${transferId}/disposition`
  const before = await readBytes()
  for (let index = 0; index < 20; index++) {
    const socket = await portal.connect()
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(portal.request('POST', path, { token: portal.token('bob'), body }), () => socket.resetAndDestroy())
    await closed
  }
  // The portal answers these requests in turn, so the earlier ones are over when it answers this one.
  expect(['offered', 'failed']).toContain(await portal.dispose(transferId, { ...body, wanted: [] }))
  expect((await readBytes()) - before).toBeLessThan(2 * content.length + 256 * KIB)
})
