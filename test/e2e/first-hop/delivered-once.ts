import { expect } from 'vitest'
import { type Running, sha256Of, type World } from '../harness/world.ts'
import { kindsOf } from './requests.ts'

/** The sender ends successfully, and there is one transfer, one notification of each kind, and one file. */
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

/** Of all transfers that were started, one is stored and delivered and the others are cancelled. */
export async function deliveredAmongCancelled(world: World, sending: Running, path: string): Promise<void> {
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored', 'delivered'])
  const [sent, ...others] = (await (await world.client('alice')).transfers()).transfers
  expect(sent?.state).toBe('ended')
  expect(others.length).toBeGreaterThan(0)
  for (const other of others) expect(other.state).toBe('cancelled')
  expect(await world.received('bob')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
}

/** The part sizes that the sender used, in order. */
export function smallerParts(sending: Running): unknown[] {
  return sending.json.filter(({ phase }) => phase === 'smaller-parts').map(({ partSizeBytes }) => partSizeBytes)
}
