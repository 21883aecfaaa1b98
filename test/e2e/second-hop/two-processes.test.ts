/** Two receiving processes with the same instance id: a receiver's folder was copied together with its state. */
import { cp } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'
import { store } from './scene.ts'

test('the second process is refused and says why; the first one reports it and continues', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const first = await world.receiver('bob')
  await store(world, 'a.bin', 2)
  await first.object(({ type }) => type === 'received')

  await cp(world.inbox('bob'), world.path('copy'), { recursive: true })
  const second = world.start(['receive', '--into', world.path('copy'), '--profile', 'bob', '--json'])
  const { code, stderr } = await second.ended
  expect([code, stderr]).toEqual([4, expect.stringContaining('instance-in-use')])
  expect(stderr).toContain('Another process receives as the same instance')
  expect(await first.object(({ type }) => type === 'contested')).toMatchObject({ problem: { code: 'instance-in-use' } })

  await store(world, 'b.bin', 2)
  await first.object(({ type, name }) => type === 'received' && name === 'b.bin')
})
