/** A receiver in the page is offered a stream once it is stored, with its size, and receives it like any file. */
import { createHash, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { until } from '../harness/world.ts'
import { scene } from './scene.ts'

const PART_BYTES = 64 * 1024

test('a page that is open during the upload of a stream gets it once it is stored', async () => {
  const { world, page } = await scene()
  await using _ = world
  await page.open()
  const content = randomBytes(5 * PART_BYTES + 3)
  const sending = world.sendInput('bob', '--part-size', '64KiB')
  sending.input.write(content.subarray(0, 4 * PART_BYTES))
  const { transferId } = await sending.object((one) => one.phase === 'started')
  const client = await world.client('alice')
  const held = async () => (await client.transfer(String(transferId)).catch(() => null))?.parts.length ?? 0
  await until(async () => (await held()) >= 2, 'the portal holds parts')
  expect((await client.transfer(String(transferId))).deliveries).toMatchObject([{ state: 'waiting' }])
  sending.input.end(content.subarray(4 * PART_BYTES))

  expect(await sending.ended).toMatchObject({ code: 0 })
  const offered = await page.event('offered')
  expect(offered).toMatchObject({ sizeBytes: content.length, isStored: true })
  expect(offered).not.toHaveProperty('isSizeKnown')
  const digest = createHash('sha256').update(content).digest('hex')
  expect(await page.kept()).toMatchObject([{ name: 'dump.sql', sizeBytes: content.length, digest }])
})
