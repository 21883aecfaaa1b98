/** The portal does not blame its storage when a receiver disconnects in the middle of a part. */
import { once } from 'node:events'
import { request } from 'node:http'
import pino from 'pino'
import { expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { TestPortal } from '../portal.ts'

/** More than all socket buffers together hold. */
const content = Buffer.alloc(32 * 1024 * 1024, 'a part of some length ')

test.each(['folder', 'S3'] as const)(
  'a receiver that leaves does not make a store in %s count as broken',
  async (kind) => {
    const lines: string[] = []
    const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(line) })
    const bucket = await testBucket()
    Object.assign(process.env, bucket.env)
    const storeUrl = kind === 'S3' ? bucket.address : null
    const portal = await TestPortal.start({ storeUrl, recentBytesMax: 0 }, { log })
    const transferId = await portal.announce(content, { partSizeBytes: content.length })
    await portal.putPart(transferId, 1, content)
    const manifestDigest = manifestDigestOf('sha-256', [digestOf('sha-256', content)])
    const body = { manifestDigest, attempt: 1 }
    const completePath = `/v1/transfers/${transferId}/complete`
    expect((await portal.ask('POST', completePath, { token: portal.token('alice'), body })).status).toBe(200)
    const { leaseId } = await portal.offerOf(transferId)
    const path = `/v1/inbox/${transferId}/parts/1?lease=${leaseId}`
    const asked = request(`${portal.url}${path}`, { headers: { authorization: `Bearer ${portal.token('bob')}` } })
    asked.on('error', () => {})
    asked.end()
    const [answer] = await once(asked, 'response')
    await once(answer, 'data')
    asked.destroy()
    const connections = async (): Promise<string> => {
      const { body } = await portal.ask('GET', '/metrics')
      return /^golooader_connections (\d+)$/m.exec(body.toString())?.[1] ?? ''
    }
    // Only the connection of this request is left.
    await until(async () => (await connections()) === '1', 'the portal has noticed')
    const again = await portal.ask('GET', path, { token: portal.token('bob') })
    expect(again.body.equals(content)).toBe(true)
    expect(lines.filter((line) => /a part/.test(line))).toEqual([])
  },
)
