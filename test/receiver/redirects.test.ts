/** Parts that come directly from the portal's storage, and what happens when that fails. */
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { digestOf } from '../../src/digests/index.ts'
import { formatContentDigest, newTransferId } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent, visible } from './folders.ts'
import { LinkingPortal, LinkingStorage, type LinkScript } from './linking-portal.ts'
import { receiveOnce } from './running.ts'

const KIB = 1024
const PARTS = 6
const file = () => newContent(PARTS * 64 * KIB, 64 * KIB)

/** Receives a file of six parts. */
async function received(storage: LinkingStorage, options: Parameters<typeof LinkingPortal.start>[1] = {}) {
  const portal = await LinkingPortal.start(storage.store, options)
  const [content, folder] = [file(), await testFolder()]
  await portal.store(content)
  const { events, counts } = await receiveOnce(portal, folder)
  expect(counts).toEqual({ received: 1, refused: 0 })
  expect(await visible(folder)).toEqual(['file.bin'])
  expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
  const redirectedBytes = events.reduce((most, event) => (event.type === 'fetching' ? event.redirectedBytes : most), 0)
  const reasons = events.flatMap((event) => (event.type === 'link-failed' ? [event.reason] : []))
  expect(events.filter(({ type }) => type === 'repeating')).toEqual([])
  return { portal, content, redirectedBytes, reasons }
}

test('every part comes from the storage, and the receiver says how much did', async () => {
  const storage = await LinkingStorage.start()
  const { content, redirectedBytes, reasons } = await received(storage)
  expect(redirectedBytes).toBe(content.bytes.length)
  expect(reasons).toEqual([])
  expect(storage.requests).toHaveLength(PARTS)
  expect(new Set(storage.lifetimesMs)).toEqual(new Set([60_000]))
})

test('the storage learns only which part is requested', async () => {
  const storage = await LinkingStorage.start()
  await received(storage)
  for (const { headers } of storage.requests) expect(Object.keys(headers).sort()).toEqual(['connection', 'host'])
})

test('a part that is fetched during the upload comes from the storage, too', async () => {
  const storage = await LinkingStorage.start()
  const portal = await LinkingPortal.start(storage.store)
  const [content, folder] = [file(), await testFolder()]
  const receiving = receiveOnce(portal, folder)
  await portal.store(content)
  const { events } = await receiving
  expect(events.findLast(({ type }) => type === 'fetching')).toMatchObject({ redirectedBytes: content.bytes.length })
  expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
})

test('without --redirect-downloads no link is made', async () => {
  const storage = await LinkingStorage.start()
  const { redirectedBytes } = await received(storage, { redirectDownloads: false })
  expect(redirectedBytes).toBe(0)
  expect(storage.requests).toEqual([])
})

describe('a part that the storage does not deliver is fetched from the portal', () => {
  test.each<[string, LinkScript]>([
    ['it is forbidden there', 403],
    ['it is not there', 404],
    ['the storage is out of order', 503],
    ['only a part of it comes', 206],
    ['it is to be looked for elsewhere', 'elsewhere'],
    ['its bytes are others', 'corrupt'],
    ['it is too short', 'short'],
    ['it is too long', 'long'],
    ['the connection breaks', 'cut'],
    ['nobody answers', 'silent'],
    ['it comes to a standstill', 'stalled'],
    ['it comes drop by drop', 'dripping'],
  ])('when %s', async (_what, script) => {
    const storage = await LinkingStorage.start()
    storage.onGet = ({ partNumber }) => (partNumber === 3 ? script : 'serve')
    const { content, redirectedBytes, reasons } = await received(storage)
    expect(redirectedBytes).toBe(content.bytes.length - 64 * KIB)
    expect(reasons).toHaveLength(1)
    expect(storage.requests).toHaveLength(PARTS)
  })
})

test('a storage that cannot be reached is soon no longer tried', async () => {
  const storage = await LinkingStorage.start()
  storage.stop()
  const portal = await LinkingPortal.start(storage.store)
  const [content, folder] = [newContent(40 * 64 * KIB, 64 * KIB), await testFolder()]
  await portal.store(content)
  const { events, counts } = await receiveOnce(portal, folder)
  expect(counts.received).toBe(1)
  const failures = events.filter(({ type }) => type === 'link-failed').length
  // Requests that were running when the third one failed fail, too.
  expect(failures).toBeGreaterThanOrEqual(3)
  expect(failures).toBeLessThan(20)
})

test('a storage that makes no link delays nothing', async () => {
  const storage = await LinkingStorage.start()
  storage.isBroken = true
  const { redirectedBytes, reasons } = await received(storage)
  expect([redirectedBytes, reasons]).toEqual([0, []])
})

test.each(['ftp://127.0.0.1', 'file:///etc', 'http://user:secret@127.0.0.1', 'not an address'])(
  'an address like %s is not followed',
  async (origin) => {
    const storage = await LinkingStorage.start()
    storage.origin = origin
    const { reasons } = await received(storage)
    expect(reasons[0]).toContain('an address that is not to be followed')
  },
)

test('small files are sent by the portal as before', async () => {
  const storage = await LinkingStorage.start()
  const portal = await LinkingPortal.start(storage.store)
  const [content, folder] = [newContent(1000, 64 * KIB), await testFolder()]
  const alice = portal.client('alice')
  const whole = {
    to: ['bob'],
    metadata: { name: 'file.bin' },
    ...content.layout,
    manifestDigest: content.manifestDigest,
  }
  await alice.putWhole(newTransferId(), whole, content.bytes)
  expect((await receiveOnce(portal, folder)).counts.received).toBe(1)
  expect(storage.requests).toEqual([])
})

describe('the portal', () => {
  async function asked(headers: Record<string, string>) {
    const storage = await LinkingStorage.start()
    const portal = await LinkingPortal.start(storage.store)
    const content = file()
    const transferId = await portal.store(content)
    const bob = portal.client()
    for await (const event of bob.watchInbox({ instanceId: 'instance-1', window: 4 })) {
      if (event.type !== 'offer') continue
      const url = `${portal.url}/v1/inbox/${transferId}/parts/2?lease=${event.offer.leaseId}`
      const authorization = `Bearer ${portal.token('bob')}`
      const response = await fetch(url, { headers: { authorization, ...headers }, redirect: 'manual' })
      return { response, body: Buffer.from(await response.arrayBuffer()), content, storage }
    }
    throw new Error('no offer')
  }

  test.each(['redirect', 'wait=5, redirect', 'Redirect; a=b', 'respond-async,redirect,wait=1'])(
    'names an address to who says "Prefer: %s", and the digest of what is there',
    async (prefer) => {
      const { response, body, content, storage } = await asked({ prefer })
      expect(response.status).toBe(307)
      expect(response.headers.get('location')).toMatch(new RegExp(`^${storage.origin}/bucket/`))
      const digest = formatContentDigest('sha-256', digestOf('sha-256', content.parts[1]?.bytes ?? Buffer.alloc(0)))
      expect(response.headers.get('repr-digest')).toBe(digest)
      expect(response.headers.get('content-digest')).toBeNull()
      expect(response.headers.get('preference-applied')).toBe('redirect')
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(body).toHaveLength(0)
    },
  )

  test('names one to who asks for a range, too, so that asking for links brings no content', async () => {
    const { response, body } = await asked({ prefer: 'redirect', range: 'bytes=0-9' })
    expect(response.status).toBe(307)
    expect(body).toHaveLength(0)
  })

  test.each<Record<string, string>>([
    {},
    { prefer: 'wait=1' },
    { prefer: 'redirects' },
    { prefer: 'x-redirect' },
    { prefer: 'redirect', range: 'bytes=0-9', 'if-range': '"another"' },
  ])('sends no link to a client with %j', async (headers) => {
    const { response, body } = await asked(headers)
    expect(response.status).toBe(200)
    expect(body).toHaveLength(64 * KIB)
  })
})

test('an unexpected redirect is not followed', async () => {
  let requests = 0
  const server = createServer((_request, response) => {
    requests++
    response.writeHead(307, { location: '/elsewhere', 'repr-digest': 'sha-256=::' }).end()
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.close()
  })
  await new Promise((resolve) => server.once('listening', resolve))
  const client = new PortalClient(nodeTransport(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), 'token')
  onTestFinished(() => client.close())
  const question = {
    leaseId: 'lease',
    heldBytes: 0,
    waitSeconds: 0,
    digestAlgorithm: 'sha-256',
    partBytesMax: 1,
  } as const
  await expect(client.incomingPart('id', 1, question)).rejects.toThrow('HTTP status 307')
  expect(requests).toBe(1)
})
