/**
 * A bit is flipped between sender and portal. The portal detects it, keeps nothing of the part, and only that part is
 * sent again.
 */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { announceByHand, putParts } from './by-hand.ts'
import { kindsOf, MIB, partOf, partsSent } from './requests.ts'

test('a corrupted part is refused, leaves nothing at the portal, and is the only one sent again', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 4 * MIB + 5)
  let isRepeatHeld = true
  network.rule = (seen) => {
    if (partOf(seen) !== 3) return null
    if (seen.count === 1) return { corruptRequest: true }
    return isRepeatHeld ? { hang: true } : null
  }

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--answer-timeout', '30s')
  const repeating = await sending.object((line) => line.phase === 'repeating')
  expect(repeating).toMatchObject({ wanted: [[3, 3]], problem: { code: 'digest-mismatching-value', partNumber: 3 } })
  // The proxy holds the repetition back, so the portal now has only what it kept.
  const numbers = async () => (await world.stored()).map((name) => name.replace(/^(\d+)\.[0-9a-f]+$/, '$1')).sort()
  await until(async () => (await numbers()).join() === '1,2,4,5', 'the portal holds all parts but the corrupted one')
  isRepeatHeld = false
  network.cutHanging()
  await sending.notification('stored')
  const { 3: triesOfThird, ...others } = partsSent(network)
  expect(triesOfThird).toBeGreaterThan(1)
  expect(others).toEqual({ 1: 1, 2: 1, 4: 1, 5: 1 })

  await world.receiver('bob')
  expect((await sending.ended).code).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored', 'delivered'])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
})

test('a part that is damaged once is sent twice and no more', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 3 * MIB)
  network.rule = (seen) => (seen.count === 1 && partOf(seen) === 2 ? { corruptRequest: true } : null)

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--no-wait')
  expect((await sending.ended).code).toBe(0)
  expect(kindsOf(sending)).toEqual(['stored'])
  expect(partsSent(network)).toEqual({ 1: 1, 2: 2, 3: 1 })
})

test('a part that is damaged every time is tried a bounded number of times, and send reports it', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network })
  const path = await world.file('report.bin', 3 * MIB)
  network.rule = (seen) => (partOf(seen) === 2 ? { corruptRequest: true } : null)

  const args = ['--to', 'bob', '--profile', 'alice', '--part-size', '1MiB']
  const { code, stdout, stderr } = await world.run('send', path, ...args)
  expect(code).toBe(5)
  expect(stdout).toContain('part 2 did not arrive whole in 5 tries')
  expect(stdout).toContain('assume that it was not received')
  expect(stdout).not.toContain('stored at the portal')
  expect(stderr).toBe('')
  expect(partsSent(network)[2]).toBe(5)

  // Once the network works, the same command sends only that part.
  network.rule = () => null
  const from = network.seen.length
  expect((await world.send(path, 'bob', '--part-size', '1MiB', '--no-wait').ended).code).toBe(0)
  expect(partsSent(network, from)).toEqual({ 2: 1 })
})

test('content that does not match its digest is refused with the registered problem, and is not kept', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const alice = await world.client('alice')
  const byHand = await announceByHand(alice, 'bob', 3)
  await putParts(alice, byHand, [1])

  const bytes = randomBytes(byHand.partSizeBytes)
  const part = { bytes, digestAlgorithm: byHand.digestAlgorithm, digest: byHand.digests[1] ?? '' }
  await expect(alice.putPart(byHand.transferId, 2, part)).rejects.toMatchObject({
    next: 'resend',
    problem: {
      type: 'https://iana.org/assignments/http-problem-types#digest-mismatching-value',
      status: 400,
      code: 'digest-mismatching-value',
      partNumber: 2,
    },
  })
  const { parts, state, attempt } = await alice.transfer(byHand.transferId)
  expect({ parts, state, attempt }).toEqual({
    parts: [{ partNumber: 1, digest: byHand.digests[0] }],
    state: 'receiving',
    attempt: 1,
  })
  expect(await world.stored()).toEqual([`1.${byHand.digests[0]}`])
})
