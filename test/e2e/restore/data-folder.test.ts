/** A portal with a data folder goes back to a copy of it: what it lost is told, and nothing is delivered twice. */
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of } from '../harness/world.ts'
import { startSending, store } from '../second-hop/scene.ts'
import { dataFolder, expectNothingUntold, MIB, outcomeOf } from './scene.ts'

test('a data folder that is restored: senders, receivers and clients by hand are told what is lost, and nothing twice', async () => {
  await using ground = await dataFolder()
  await expectNothingUntold(ground)
})

test('a portal that is restored in the middle of an upload gets all of the file', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  let portal = await ground.start()
  await world.join(['alice', 'bob'], { alice: network })
  await portal.stop()
  await ground.backUp()
  portal = await ground.start()
  network.rule = ({ path }) => {
    if (path.endsWith('/parts/4')) portal.signal('SIGKILL')
    return null
  }
  const { path, transferId, sending } = await startSending(world, 'report.bin', 6)
  await portal.ended
  network.rule = () => null
  await ground.restore()
  await ground.start()
  await world.receiver('bob')
  expect(await outcomeOf(sending)).toMatchObject({
    code: 0,
    last: { transfers: [{ transferId, outcome: 'delivered' }] },
  })
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a backup that knows a stored transfer as on its way: it is lost, and sent again nobody gets it twice', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  let portal = await ground.start()
  await world.join(['alice', 'bob', 'carol'], { alice: network })
  network.rule = ({ path }) => {
    if (path.endsWith('/parts/2')) portal.signal('SIGKILL')
    return null
  }
  const { path, transferId, sending } = await startSending(world, 'report.bin', 3, 'bob,carol')
  await portal.ended
  await ground.backUp()
  network.rule = () => null
  portal = await ground.start()
  let bob = await world.receiver('bob')
  await sending.notification('delivered')
  await bob.stop()
  await portal.stop()
  await ground.restore()
  await ground.start()
  const lost = { transferId, outcome: 'no-answer', problem: { code: 'transfer-lost' } }
  expect(await outcomeOf(sending)).toMatchObject({ code: 5, last: { transfers: [lost] } })

  // Bob has the file already and is offered it while the portal receives it once more.
  bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'offered')
  await world.receiver('carol')
  const again = await outcomeOf(world.send(path, 'bob,carol', '--part-size', '1MiB'))
  expect(again).toMatchObject({ code: 0, last: { transfers: [{ transferId, outcome: 'delivered' }] } })
  for (const name of ['bob', 'carol']) {
    expect(await world.received(name)).toEqual(['report.bin'])
    expect(await sha256Of(`${world.inbox(name)}/report.bin`)).toBe(await sha256Of(path))
  }
  expect(bob.json.filter(({ type }) => type === 'given-up')).toEqual([])
})

test('a ledger that is restored without its store: what is in it is delivered, the rest fails and is told', async () => {
  await using ground = await dataFolder('the ledger alone')
  const { world } = ground
  const portal = await ground.start()
  await world.join(['alice', 'bob'])
  const small = await store(world, 'small.bin', 0)
  const large = await startSending(world, 'large.bin', 3)
  await large.sending.notification('stored')
  await portal.stop()
  await ground.backUp()
  await ground.restore()
  await ground.start(['--adopt-store'])
  await world.receiver('bob')
  expect(await outcomeOf(large.sending)).toMatchObject({
    code: 3,
    last: { transfers: [{ outcome: 'failed', failures: [{ problem: { code: 'stored-part-corrupt' } }] }] },
  })
  const alice = await world.client('alice')
  expect(await alice.transfer(small.transferId)).toMatchObject({ deliveries: [{ state: 'delivered' }] })
  expect(await world.received('bob')).toEqual(['small.bin'])
})

test('what the command line says of a lost transfer, and of one that the portal does not know', async () => {
  await using ground = await dataFolder()
  const { world } = ground
  let portal = await ground.start()
  await world.join(['alice', 'bob'])
  await portal.stop()
  await ground.backUp()
  portal = await ground.start()
  const path = await world.file('report.bin', MIB)
  const sending = world.start(['send', path, '--to', 'bob', '--profile', 'alice'])
  await sending.line((line) => line.includes('stored at the portal'))
  const transferId = /transfer ([0-9a-f-]{36})/.exec(sending.lines.join('\n'))?.[1] ?? ''
  await portal.stop()
  await ground.restore()
  await ground.start()
  const { code, stdout } = await sending.ended
  expect(code).toBe(5)
  expect(stdout).toContain('The portal no longer knows the transfer; send it again (transfer-lost)')
  expect(stdout).toContain('Run the same command again: no receiver gets a second copy.')
  const status = await world.run('status', transferId, '--profile', 'alice')
  expect(status.code).toBe(4)
  expect(status.stderr).toContain('restored from a backup')
})
