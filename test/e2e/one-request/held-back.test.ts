/** Content that carries its own digest counts once that is verified. A portal that is killed before leaves nothing of it that counts. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Exchange, exchange } from '../../portal/uploads/exchange.ts'
import { sha256Of, until } from '../harness/world.ts'
import { handWorld, MIB } from './curl.ts'

const SIZE_BYTES = 30 * MIB

interface Way {
  /** The path, and the fields with which an upload is created. */
  readonly create: readonly [path: string, headers: Readonly<Record<string, string>>]
  readonly headers: (offset: number, digest: string) => Readonly<Record<string, string>>
  /** The path of the upload, by its `Location`. */
  readonly at: (location: string) => string
}

const encoded = (text: string): string => Buffer.from(text).toString('base64')
const tus = { 'tus-resumable': '1.0.0' }

const ways: readonly (readonly [string, Way])[] = [
  [
    'Content-Digest',
    {
      create: ['/v1/to/bob/film', { 'upload-complete': '?0', 'upload-length': `${SIZE_BYTES}` }],
      headers: (offset, digest) => ({
        'content-type': 'application/partial-upload',
        'upload-complete': '?1',
        'upload-offset': `${offset}`,
        'content-digest': `sha-256=:${digest}:`,
      }),
      at: (location) => location,
    },
  ],
  [
    'Upload-Checksum of tus',
    {
      create: [
        '/v1/tus',
        {
          ...tus,
          'upload-length': `${SIZE_BYTES}`,
          'upload-metadata': `filename ${encoded('film')},to ${encoded('bob')}`,
        },
      ],
      headers: (offset, digest) => ({
        ...tus,
        'content-type': 'application/offset+octet-stream',
        'upload-offset': `${offset}`,
        'upload-checksum': `sha256 ${digest}`,
      }),
      at: (location) => `/v1/${location}`,
    },
  ],
]

test.each(ways)('a portal that is killed before it has verified a %s tells nothing of that content', async (_, way) => {
  const { world, portal } = await handWorld()
  const path = await world.file('film', SIZE_BYTES)
  const film = await readFile(path)
  const token = await world.token('alice')
  const ask = (headers: Readonly<Record<string, string>> = {}) => ({ url: world.portalUrl, token, headers })
  const created = await exchange('POST', way.create[0], ask(way.create[1]))
  const upload = way.at(String(created.headers.location))
  const headers = way.headers(0, createHash('sha256').update(film).digest('base64'))
  const length = { 'content-length': `${film.length}` }
  const sending = new Exchange('PATCH', upload, ask({ ...headers, ...length }))
  await sending.write(film.subarray(0, 25 * MIB))
  const wholeParts = async () => (await world.stored()).filter((name) => /^\d+\.[0-9a-f]{64}$/.test(name)).length
  await until(async () => (await wholeParts()) >= 2, 'parts are stored')
  await portal.stop('SIGKILL')

  await world.portal()
  const { headers: told } = await exchange('HEAD', upload, ask(tus))
  expect(told['upload-offset']).toBe('0')
  await until(async () => (await world.stored()).length === 0, 'nothing of it lies in the store')
  await world.receiver('bob')
  const { status, text } = await exchange('PATCH', upload, ask({ ...headers, ...length }), film)
  expect([200, 204], text).toContain(status)
  await until(async () => (await world.received('bob')).length > 0, 'it is delivered')
  expect(await sha256Of(join(world.inbox('bob'), 'film'))).toBe(await sha256Of(path))
})
