/** A portal is restored from a copy of its data folder. Lost transfers are reported, and no file is delivered twice. */
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of } from '../harness/world.ts'
import { startSending, store } from '../second-hop/scene.ts'
import { dataFolder, expectNothingUntold, MIB, outcomeOf } from './scene.ts'

test('after a data folder is restored, senders, receivers and other clients learn what is lost, and no file arrives twice', async () => {
  await using ground = await dataFolder()
  await expectNothingUntold(ground)
})

test('a portal that is restored during an upload gets the whole file', async () => {
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

test('a transfer that the backup knows as unfinished is lost, and when it is sent again no receiver gets it twice', async () => {
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

test('a ledger restored without its store delivers what is in both, and reports the rest as failed', async () => {
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

test('the messages of the command line for a lost transfer, and for one that the portal does not know', async () => {
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
