import { expect } from 'vitest'
import { type Running, sha256Of, type World } from '../harness/world.ts'
import { kindsOf } from './requests.ts'

/** The sender ends well, and there is one transfer, one of each notification, and one file. */
export async function deliveredOnce(world: World, sending: Running, path: string): Promise<void> {
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored', 'delivered'])
  const alice = await world.client('alice')
  expect((await alice.transfers()).transfers).toHaveLength(1)
  const { events } = await alice.events()
  expect(events.map((one) => one.notification)).toEqual(['stored', 'delivered'])
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
}
