// @tier stress
/** Sender and receiver use different nodes. An event at one node wakes up what waits for it at the other. */
import { expect, test } from 'vitest'
import { Cluster } from '../harness/cluster.ts'
import { expectDeliveredOnce, MIB } from './scene.ts'

/** Shorter than any polling interval of a node: work that is done by then was caused by signals. */
const LOOK_MS_MIN = 7_500
/** A slow machine may miss the bound several times. */
const FILES = 4

test('a file that arrives at one node is delivered by another before that node would poll', async () => {
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
