/** The IETF's resumable uploads over HTTP. */
import { expect, test } from 'vitest'
import { TestPortal } from '../portal.ts'
import { DraftExchange, draft } from './draft-client.ts'
import { film, MIB } from './resumable.ts'

const version = { 'upload-draft-interop-version': '9' }
const partial = { 'content-type': 'application/partial-upload' }

async function begin() {
  const portal = await TestPortal.start()
  const ask = (headers: Record<string, string> = {}) => ({ url: portal.url, token: portal.token('alice'), headers })
  return { portal, ask }
}

test('a request that breaks is continued, and the last one is answered as the first would have been', async () => {
  const { portal, ask } = await begin()
  const first = new DraftExchange('PUT', '/v1/to/bob/film', {
    ...ask({ ...version, 'upload-complete': '?1', 'content-length': `${film.length}`, prefer: 'wait=0' }),
  })
  first.flush()
  const location = await first.told('location')
  expect(location).toMatch(/^\/v1\/uploads\/[\w-]{43}$/)
  expect(first.interim[0]).toMatchObject({
    status: 104,
    headers: { 'upload-draft-interop-version': '9', 'upload-limit': expect.stringContaining('max-size=') },
  })
  await first.write(film.subarray(0, 11 * MIB))
  expect(await first.told('upload-offset')).toBe(`${8 * MIB}`)
  first.cut()
  const where = await draft('HEAD', location, ask())
  expect(where).toMatchObject({ status: 204, headers: { 'upload-complete': '?0', 'upload-length': `${film.length}` } })
  const offset = Number(where.headers['upload-offset'])
  expect(offset).toBeGreaterThan(8 * MIB)
  const rest = { ...partial, ...version, 'upload-offset': `${offset}`, 'upload-complete': '?1', prefer: 'wait=0' }
  const last = await draft('PATCH', location, ask(rest), film.subarray(offset))
  expect(last).toMatchObject({ status: 200, headers: { 'upload-complete': '?1' } })
  expect(last.text).toMatch(/^stored [\w-]{36} film, 17\.0 MiB, waiting for bob\nwaiting for bob; ask later/)
  const transferId = last.text.split(' ')[1] ?? ''
  const { leaseId } = await portal.offerOf(transferId)
  expect(leaseId).toBeTruthy()
})
