/** Shared set-up for tests of the first hop. */
import { onTestFinished } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { World } from '../harness/world.ts'

/** A portal, alice behind a faulty network, and bob. All of it ends with the test. */
export async function aliceBehindNetwork() {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const portal = await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  return { world, network, portal }
}
