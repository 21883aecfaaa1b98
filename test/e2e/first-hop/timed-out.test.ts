/** The portal aborts uploads of silent senders at the very moment when the senders continue. */
import { expect, test } from 'vitest'
import type { PortalClient } from '../../../src/client/index.ts'
import type { Notification } from '../../../src/protocol/index.ts'
import { until, World } from '../harness/world.ts'
import { announceByHand, type ByHand, putParts } from './by-hand.ts'

const TRANSFERS = 120
const UPLOAD_TIMEOUT_MS = 4_000

test('an upload that completes while the portal aborts it is requested again, or stored with all of its parts', async () => {
  await using world = await World.create()
  const portal = await world.portal(['--upload-timeout', `${UPLOAD_TIMEOUT_MS}ms`])
  await world.join(['alice', 'bob'])
  const alice = await world.client('alice')
  // At once, so that none has timed out before the last one is ready, and each with a last sign of life at the end.
  const uploads = await Promise.all(Array.from({ length: TRANSFERS }, () => announceByHand(alice, 'bob', 2)))
  await Promise.all(uploads.map((upload) => putParts(alice, upload, [1])))
  await Promise.all(uploads.map((upload) => putParts(alice, upload, [2])))

  // The portal is stopped until all have timed out. When it continues, it has to abort and to conclude all of them at
  // once.
  portal.signal('SIGSTOP')
  const stoppedAtMs = performance.now()
  const concluding = Promise.all(uploads.toReversed().map((upload) => completed(alice, upload)))
  await until(() => performance.now() - stoppedAtMs > UPLOAD_TIMEOUT_MS, 'all uploads have timed out')
  portal.signal('SIGCONT')
  const answers = await concluding
  const kinds = new Set(answers.map(({ notification }) => notification))
  expect([...kinds].filter((kind) => kind !== 'stored' && kind !== 'resend')).toEqual([])

  // Once every transfer has its first notification, all deletions are done.
  await until(async () => (await alice.events({ limit: 500 })).events.length >= TRANSFERS, 'each was told')
  const held = await world.stored()
  for (const { notification, transferId } of answers) {
    if (notification !== 'stored') continue
    const { digests } = uploads.find((upload) => upload.transferId === transferId) ?? { digests: [] }
    const lost = digests.filter((digest, index) => !held.includes(`${index + 1}.${digest}`))
    expect(lost, `parts of ${transferId}, which was said to be stored`).toEqual([])
  }
})

/** Completes the first attempt. Retries while the portal says "later". */
async function completed(client: PortalClient, { transferId, manifestDigest }: ByHand): Promise<Notification> {
  let answer: Notification | null = null
  await until(async () => {
    answer = await client.complete(transferId, { manifestDigest, attempt: 1 }).catch((error) => {
      if (error.next === 'retry') return null
      throw error
    })
    return answer !== null
  }, `an answer about ${transferId}`)
  if (answer === null) throw new Error('there is an answer')
  return answer
}
