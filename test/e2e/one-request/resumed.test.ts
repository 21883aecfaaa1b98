/** A portal is killed again and again during an upload that its client continues. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { randomInt } from '../../suites/random.ts'
import { sha256Of, until } from '../harness/world.ts'
import { handWorld, MIB } from './curl.ts'
import { uploadResuming } from './resuming.ts'

const SIZE_BYTES = 40 * MIB
const KILLS = 12

test('a portal that is killed at any moment takes every offset that it told, and the file is delivered once', async () => {
  const { world, portal } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('film', SIZE_BYTES)
  let running = portal
  let kills = 0
  let killAtBytes = randomInt(12 * MIB)
  // Every other kill waits for progress, so that there is some however slow the portal is.
  let killAtToldBytes = 1
  let killing: Promise<void> | null = null
  const kill = async (): Promise<void> => {
    await running.stop('SIGKILL')
    kills++
    running = await world.portal()
    killing = null
  }
  const { answer, offsets, sentBytes } = await uploadResuming({
    url: () => world.portalUrl,
    token: await world.token('alice'),
    content: await readFile(path),
    to: 'bob/film',
    sliceMs: 5,
    onSlice: (sent, told) => {
      if (kills === KILLS || killing !== null || sent < killAtBytes || told < killAtToldBytes) return
      killAtBytes = sent + MIB + randomInt(14 * MIB)
      killAtToldBytes = kills % 2 === 0 ? 0 : told + 1
      killing = kill()
    },
  })
  await killing
  expect(answer.status, answer.text).toBe(200)
  expect(answer.headers['upload-complete']).toBe('?1')
  expect(answer.text).toMatch(/^stored .* film, 40\.0 MiB, waiting for bob\n+delivered bob\n+$/)
  expect(kills).toBeGreaterThan(2)
  expect(new Set(offsets).size, `${offsets}`).toBeGreaterThan(2)
  // A kill loses the part that was under way, and no more.
  expect(sentBytes).toBeLessThan(SIZE_BYTES + (kills + 1) * 9 * MIB)
  await bob.object((line) => line.type === 'received')
  expect(await world.received('bob')).toEqual(['film'])
  expect(await sha256Of(join(world.inbox('bob'), 'film'))).toBe(await sha256Of(path))
  await until(async () => (await world.stored()).length === 0, 'nothing of it stays in the store')
})
