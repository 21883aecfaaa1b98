/** The portal splits lists into pages of bounded length, whatever senders and receivers put into them. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pageOf } from '../../../src/portal/http/pages.ts'
import { transferStatus } from '../../../src/portal/views.ts'
import { answerBytesMax, type Notification, newTransferId, Problem, pageBytesMax } from '../../../src/protocol/index.ts'
import { announcement, manifestDigest, sha256, TestPortal } from '../portal.ts'

const COUNT = 110
const admission = {
  ...{
    expiryMs: 600_000,
    uploadTimeoutMs: 600_000,
    accountBytesMax: 1e12,
    accountTransfersMax: 1e6,
    accountUploadsMax: 100,
    accountGuestsMax: 1000,
    accountGuestBytesMax: 1e12,
  },
  ...{ storageBytesMax: 1e12, freeBytes: null },
}
/** The longest problem and the longest sealed metadata that the portal accepts. */
const problem = { ...new Problem('disk-full').toJSON(), detail: 'd'.repeat(4000), more: 'm'.repeat(3900) }
const wrapped = 'A'.repeat(107)
const metadata = { sealed: 's'.repeat(12 * 1024), keys: { alice: wrapped, bob: wrapped } }

let portal: TestPortal
const transferIds: string[] = []
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  portal = await TestPortal.start({}, { onEnd: (end) => ends.push(end) })
  await portal.operate(async (ledger) => {
    const [alice, bob] = [await ledger.accountByName('alice'), await ledger.accountByName('bob')]
    if (alice === null || bob === null) throw new Error('they have no account')
    for (let index = 0; index < COUNT; index++) {
      const transferId = newTransferId()
      transferIds.push(transferId)
      const transfer = { ...announcement(0), metadata, transferId, senderId: alice.accountId }
      const whole = {
        manifestDigest: manifestDigest(Buffer.alloc(0)),
        manifest: null,
        digest: '',
        content: Buffer.alloc(0),
      }
      await ledger.storeInline(transfer, admission, whole)
      const [offered] = await ledger.offerNext(bob.accountId, 'instance-1', { leaseMs: 60_000, limit: 1 })
      const [delivery] = offered?.deliveries ?? []
      if (delivery?.state !== 'offered') throw new Error('it was not offered')
      const { leaseId } = delivery.lease
      const change = { state: 'failed', problem } as const
      await ledger.moveDelivery(transferId, bob.accountId, { state: 'offered', leaseId }, change)
    }
  })
})
afterAll(async () => {
  for (const end of ends.reverse()) await end()
})

describe.each([
  ['bob', '/v1/deliveries', 'deliveries'],
  ['alice', '/v1/transfers', 'transfers'],
])('%s requests %s', (who, path, member) => {
  test('no page is too long, and together they contain everything once, newest first', async () => {
    const seen: string[] = []
    let pages = 0
    for (let before: string | null = ''; before !== null; pages++) {
      const query = before === '' ? '' : `&before=${before}`
      const { body } = await portal.ask('GET', `${path}?limit=100${query}`, { token: portal.token(who) })
      expect(body.length).toBeLessThan(pageBytesMax + 1000)
      const page: Record<string, { transferId: string }[]> & { before: string | null } = JSON.parse(body.toString())
      seen.push(...(page[member] ?? []).map(({ transferId }) => transferId))
      before = page.before
    }
    expect(seen).toEqual(transferIds.toReversed())
    expect(pages).toBeGreaterThan(2)
  })
})

test('pages of events: no page is too long, and together they contain everything once, oldest first', async () => {
  const seen: string[] = []
  let pages = 0
  for (let after = '0'; ; pages++) {
    const { body } = await portal.ask('GET', `/v1/events?after=${after}`, { token: portal.token('alice') })
    expect(body.length).toBeLessThan(pageBytesMax + 1000)
    const page: { events: Notification[]; after: string } = JSON.parse(body.toString())
    if (page.events.length === 0) break
    seen.push(...page.events.map(({ transferId, notification }) => `${notification} ${transferId}`))
    after = page.after
  }
  expect(seen).toEqual(transferIds.flatMap((transferId) => [`stored ${transferId}`, `failed ${transferId}`]))
  expect(pages).toBeGreaterThanOrEqual(1)
})

test('concurrent offers of the maximum length stay below the buffer limit of a stream', async () => {
  const offersMax = 64
  const file = Buffer.alloc(32 * 1024, 'inline ')
  await portal.operate(async (ledger) => {
    const bob = await ledger.accountByName('bob')
    if (bob === null) throw new Error('he has no account')
    const digest = sha256(file)
    const whole = { manifestDigest: manifestDigest(file), manifest: `a.b.${'c'.repeat(16_000)}`, digest, content: file }
    for (let index = 0; index < offersMax; index++) {
      const keys = { bob: wrapped, carol: wrapped }
      const transfer = { ...announcement(file.length), to: ['carol'], metadata: { ...metadata, keys } }
      const ids = { transferId: newTransferId(), senderId: bob.accountId }
      await ledger.storeInline({ ...transfer, ...ids }, admission, whole)
    }
  })
  const socket = await portal.connect()
  const path = `/v1/inbox?instance=instance-1&window=${offersMax}&content=inline`
  const gathered: Buffer[] = []
  const current = new Promise<void>((resolve) => {
    socket.on('data', (bytes) => {
      gathered.push(bytes)
      if (Buffer.concat(gathered.slice(-2)).includes('event: current')) resolve()
    })
  })
  socket.write(portal.request('GET', path, { token: portal.token('carol') }))
  await current
  socket.destroy()
  const stream = Buffer.concat(gathered).toString('latin1')
  expect(stream.match(/event: offer/g)).toHaveLength(offersMax)
  const inline = stream.match(/"content":"/g)?.length ?? 0
  expect(inline).toBe(offersMax / 2)
  // Each offer may carry the keys of thirty-one more receivers.
  expect(stream.length + offersMax * 31 * 175).toBeLessThan(4 * 1024 * 1024)
})

test('golooader status shows as many items as requested, however short the pages of the portal are', async () => {
  const shown = async (who: string, ...flags: string[]): Promise<string[]> => {
    const env = { ...process.env, GOLOOADER_PORTAL: portal.url, GOLOOADER_TOKEN: portal.token(who) }
    const program = fileURLToPath(new URL('../../../bin/golooader.js', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program, 'status', '--json', ...flags], {
      env,
      maxBuffer: 10 * answerBytesMax,
    })
    const lines = stdout.trim().split('\n')
    return lines.map((line) => JSON.parse(line).transferId)
  }
  expect(await shown('bob', '--received', '--limit', '105')).toEqual(transferIds.toReversed().slice(0, 105))
  expect(await shown('alice', '--limit', '1000')).toEqual(transferIds.toReversed())
})

test('a page has at least one item, and reads few rows beyond its items', async () => {
  let rows = 0
  const rowsAfter = async (row: number | null, count: number): Promise<number[]> => {
    rows += count
    return Array.from({ length: count }, (_, index) => (row ?? 0) + index + 1)
  }
  const large = await pageOf(100, rowsAfter, () => 'x'.repeat(2 * pageBytesMax))
  expect(large).toMatchObject({ items: [expect.any(String)], last: 1, isMore: true })
  rows = 0
  const middling = await pageOf(100, rowsAfter, () => 'x'.repeat(pageBytesMax / 20))
  expect(middling.items.length).toBe(19)
  expect(rows).toBeLessThan(30)
  const small = await pageOf(100, rowsAfter, (row) => row)
  expect(small).toMatchObject({ last: 100, isMore: true })
})

test('clients accept the status of the largest transfer with the longest notifications', () => {
  const atMs = Date.now()
  const to = Array.from({ length: 32 }, (_, index) => `receiver-${index}`.padEnd(63, 'r'))
  const transfer = {
    ...{ transferId: newTransferId(), senderId: 1, sender: 'alice', attempt: 9, sizeBytes: 1e12, partSizeBytes: 1e8 },
    ...{ digestAlgorithm: 'sha-256', createdAtMs: atMs, expiresAtMs: atMs, isOneRequest: false, generation: '1' },
    isSizeKnown: true,
    metadata: { sealed: metadata.sealed, keys: Object.fromEntries(to.map((name) => [name, wrapped])) },
    deliveries: to.map((receiver, receiverId) => ({
      ...{ receiver, receiverId, offers: 9, resends: 4, fetchedBytes: 1e12, offeredAtMs: atMs, endedAtMs: atMs },
      ...{ state: 'failed' as const, leaseId: 'l'.repeat(64), problem },
    })),
    ...{ state: 'receiving' as const, uploadDeadlineMs: atMs, endedAtMs: atMs },
  }
  const held = new Map(Array.from({ length: 10_000 }, (_, index) => [index + 1, 'a'.repeat(64)]))
  const wanted = Array.from({ length: 5_000 }, (_, index): [number, number] => [2 * index + 1, 2 * index + 1])
  const about = { at: new Date(atMs).toISOString(), transferId: transfer.transferId }
  const told = Array.from({ length: 500 }, (_, index): Notification => {
    const again = { ...new Problem('parts-missing').toJSON(), wanted }
    return { ...about, eventId: `${index}`, attempt: index + 1, notification: 'resend', problem: again, wanted }
  })
  const status = transferStatus(transfer, held, told)
  expect(JSON.stringify(status).length).toBeLessThan(answerBytesMax)
  expect(status.parts).toHaveLength(10_000)
  expect(status.notifications.at(-1), 'the newest are there').toEqual(told.at(-1))
  expect(status.notifications).toEqual(told.slice(-status.notifications.length))
})
