// @tier stress
/** Sender and receiver at different nodes: what one waits for happens at the other, and is told. */
import { expect, test } from 'vitest'
import { Cluster } from '../harness/cluster.ts'
import { expectDeliveredOnce, MIB } from './scene.ts'

/** Before any node looks by itself: what is done by then was done because of signals. */
const LOOK_MS_MIN = 7_500
/** A slow machine may be slow once, and more than once. */
const FILES = 4

test('what comes in at one node is delivered by another before that would look by itself', async () => {
  const { world, nodes } = await Cluster.create({ nodes: 2 })
  const [here, there] = nodes.map(({ url }) => ({ url }))
  if (here === undefined || there === undefined) throw new Error('there are two nodes')
  await world.join(['alice', 'bob'], { alice: here, bob: there })
  await world.receiver('bob')

  const tookMs: number[] = []
  for (let count = 1; count <= FILES; count++) {
    const path = await world.file(`${count}.bin`, 3 * MIB)
    const begunAtMs = performance.now()
    await expectDeliveredOnce(world, world.send(path, 'bob', '--part-size', '1MiB'), path)
    tookMs.push(performance.now() - begunAtMs)
  }
  expect(Math.min(...tookMs)).toBeLessThan(LOOK_MS_MIN)
})
