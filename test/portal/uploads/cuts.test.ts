/** Lines that break again and again: a proxy passes a kibibyte of each request and cuts it. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { KIB, TestPortal } from '../portal.ts'
import { type ExchangeAnswer, exchange } from './exchange.ts'

const bytes = randomBytes(40 * KIB)

/** Passes connections on, and cuts each of them after some bytes of its first request's body. */
async function cutter(portalPort: number): Promise<{ url: string; passBytes: number; passedBytes: number }> {
  const state = { url: '', passBytes: KIB, passedBytes: 0 }
  const server = createServer((client) => {
    const portal = connect(portalPort, '127.0.0.1')
    let head: Buffer<ArrayBufferLike> | null = Buffer.alloc(0)
    let leftBytes = state.passBytes
    client.on('data', (some) => {
      let body: Buffer<ArrayBufferLike> = some
      if (head !== null) {
        head = Buffer.concat([head, some])
        const end = head.indexOf('\r\n\r\n')
        if (end < 0) return
        portal.write(head.subarray(0, end + 4))
        body = head.subarray(end + 4)
        head = null
      }
      const passed = body.subarray(0, leftBytes)
      portal.write(passed)
      state.passedBytes += passed.length
      leftBytes -= passed.length
      if (body.length === passed.length) return
      portal.end()
      client.destroy()
    })
    portal.pipe(client)
    for (const socket of [client, portal]) socket.on('error', () => {})
    portal.on('close', () => client.destroy())
    client.on('close', () => portal.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return state
}

test.each([
  ['a file of known length', 'content-length', `${bytes.length}`],
  ['a file of unknown length', 'transfer-encoding', 'chunked'],
])('%s arrives over a line that breaks after each kibibyte, and nothing is sent twice', async (_, field, value) => {
  const portal = await TestPortal.start()
  const line = await cutter(portal.port)
  const token = portal.token('alice')
  const create = { url: portal.url, token, headers: { 'upload-complete': '?0' } }
  const location = String((await exchange('POST', '/v1/to/bob/film', create)).headers.location)
  let offset = 0
  let last: ExchangeAnswer | null = null
  let cuts = 0
  // The lengths of the parts of a body of unknown length take up a little of each kibibyte.
  const overheadBytes = field === 'content-length' ? 0 : 32
  while (last === null) {
    const headers = {
      'content-type': 'application/partial-upload',
      'upload-offset': `${offset}`,
      'upload-complete': '?1',
      [field]: field === 'content-length' ? `${bytes.length - offset}` : value,
      prefer: 'wait=0',
    }
    last = await exchange('PATCH', location, { url: line.url, token, headers }, bytes.subarray(offset)).catch(
      () => null,
    )
    if (last !== null) break
    cuts++
    const where = await exchange('HEAD', location, { url: portal.url, token })
    const told = Number(where.headers['upload-offset'])
    expect(told).toBeGreaterThanOrEqual(offset + KIB - overheadBytes)
    expect(told).toBeLessThanOrEqual(offset + KIB)
    offset = told
  }
  expect(last).toMatchObject({ status: 200, headers: { 'upload-complete': '?1' } })
  expect(cuts).toBeGreaterThanOrEqual(39)
  expect(line.passedBytes).toBeLessThanOrEqual(bytes.length + (cuts + 1) * overheadBytes)
  const transferId = last.text.split(' ')[1] ?? ''
  const { leaseId } = await portal.offerOf(transferId)
  const path = `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`
  expect((await portal.ask('GET', path, { token: portal.token('bob') })).body.equals(bytes)).toBe(true)
})
