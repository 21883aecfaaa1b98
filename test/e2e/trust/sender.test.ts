/** What a sender does with a portal that lies: it says `delivered` only with the receiver's own receipt. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Notification } from '../../../src/protocol/index.ts'
import { AccountKeys, readReceipt, signReceipt } from '../../../src/trust/index.ts'
import { World } from '../harness/world.ts'
import { EvilPortal } from './evil-portal.ts'

const MIB = 1024 * 1024

async function scene(world: World): Promise<EvilPortal> {
  await world.portal()
  const evil = await EvilPortal.open(() => world.portalUrl)
  await world.join(['alice', 'bob', 'carol'], { alice: evil })
  return evil
}

test('delivered counts only with a receipt that proves it', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  await world.receiver('bob')
  const first = world.send(await world.file('first.bin', MIB), 'bob')
  expect((await first.ended).code).toBe(0)
  const { receipt: earlier } = (await first.notification('delivered')) as unknown as { receipt: string }
  expect(readReceipt(earlier)).toMatchObject({
    from: 'alice',
    receiver: 'bob',
    sizeBytes: MIB,
    disposition: 'received',
  })
  const mallory = await AccountKeys.generate()

  const withReceipt = (change: (receipt: string) => string | undefined) => (told: Notification) => {
    if (told.notification !== 'delivered') return [told]
    const { receipt, ...rest } = told
    const changed = change(receipt ?? '')
    return [changed === undefined ? rest : { ...rest, receipt: changed }]
  }
  const forged = new Map<string, string>()
  const cases: readonly (readonly [what: string, lie: (told: Notification) => Notification[]])[] = [
    ['it has none', withReceipt(() => undefined)],
    ['it is garbage', withReceipt(() => 'a.b.c')],
    ['it is that of another transfer', withReceipt(() => earlier)],
    [
      'one character is changed',
      withReceipt((receipt) => receipt.replace(/.\./, (end) => (end[0] === 'A' ? 'B.' : 'A.'))),
    ],
    [
      'it is signed by somebody else',
      withReceipt((receipt) => {
        const known = forged.get(receipt)
        if (known === undefined) signReceipt(readReceipt(receipt), mallory).then((one) => forged.set(receipt, one))
        return known ?? 'a.b.c'
      }),
    ],
    [
      'it is said of a transfer that nobody has taken',
      (told) =>
        told.notification === 'stored'
          ? [
              told,
              { ...told, eventId: `${told.eventId}0`, notification: 'delivered', receiver: 'carol', receipt: earlier },
            ]
          : [told],
    ],
  ]
  for (const [index, [what, lie]] of cases.entries()) {
    evil.lies = { notification: lie }
    const to = index === cases.length - 1 ? 'carol' : 'bob'
    const sending = world.send(await world.file(`${index}.bin`, MIB), to)
    expect((await sending.ended).code, what).toBe(3)
    const failed = sending.json.find(({ notification }) => notification === 'failed')
    expect(failed, what).toMatchObject({ receiver: to, problem: { code: 'receipt-invalid' } })
    expect(
      sending.json.some(({ notification }) => notification === 'delivered'),
      what,
    ).toBe(false)
  }
}, 90_000)

test('a receiver whose keys have changed stops the send, until somebody says that they are right', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  await world.receiver('bob')
  const path = await world.file('a.bin', MIB)
  const send = () => world.run('send', path, '--to', 'bob', '--profile', 'alice')
  expect((await send()).code).toBe(0)

  // The portal names its own keys.
  const mallory = await AccountKeys.generate()
  evil.lies = { account: (account) => ({ ...account, keys: mallory.publicKeys }) }
  const stopped = await send()
  expect(stopped.code).toBe(4)
  expect(stopped.stderr).toContain('(keys-changed)')
  expect(stopped.stderr).toContain('golooader contacts trust bob')
  // Or says that there are none, so that nothing would be sealed.
  evil.lies = { account: (account) => ({ ...account, keys: null }) }
  expect(await send()).toMatchObject({ code: 4, stderr: expect.stringContaining('(keys-missing)') })
  expect(await world.run('send', path, '--to', 'bob', '--profile', 'alice', '--plain')).toMatchObject({ code: 4 })
  evil.lies = {}
  expect((await send()).code).toBe(0)

  // Bob has really got new ones.
  const keys = await AccountKeys.generate()
  const profile = world.path('config/golooader/profiles/bob.json')
  await writeFile(profile, JSON.stringify({ ...JSON.parse(await readFile(profile, 'utf8')), keys: keys.secret }))
  await (await world.client('bob')).setKeys(keys.publicKeys)
  expect((await send()).code).toBe(4)
  const wrong = 'abcd-efgh-ijkl-mnop-qrst-uvwx'
  expect(await world.run('contacts', 'trust', 'bob', wrong, '--profile', 'alice')).toMatchObject({ code: 2 })
  const { fingerprint } = JSON.parse((await world.run('whoami', '--profile', 'bob', '--json')).stdout)
  expect(await world.run('contacts', 'trust', 'bob', fingerprint.toUpperCase(), '--profile', 'alice')).toMatchObject({
    code: 0,
  })
  const { stdout } = await world.run('contacts', '--profile', 'alice')
  expect(stdout).toContain(fingerprint)
  expect(stdout).toContain('you compared the fingerprint')
})

test('a fingerprint that was trusted before the first use keeps other keys out', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  const { fingerprint } = JSON.parse((await world.run('whoami', '--profile', 'bob', '--json')).stdout)
  expect((await world.run('contacts', 'trust', 'bob', fingerprint, '--profile', 'alice')).code).toBe(0)
  const mallory = await AccountKeys.generate()
  evil.lies = { account: (account) => ({ ...account, keys: mallory.publicKeys }) }
  const sending = world.run('send', await world.file('a.bin', MIB), '--to', 'bob', '--profile', 'alice', '--no-wait')
  expect(await sending).toMatchObject({ code: 4, stderr: expect.stringContaining('(keys-changed)') })
  expect(evil.sent).toEqual([])
})

test('a sender that comes back later is not deceived by another manifest', async () => {
  await using world = await World.create()
  await using evil = await scene(world)
  await world.receiver('carol')
  const other = world.send(await world.file('other.bin', MIB), 'carol')
  expect((await other.ended).code).toBe(0)
  const { receipt, transferId } = (await other.notification('delivered')) as unknown as {
    receipt: string
    transferId: string
  }
  const { manifest } = await (await world.client('alice')).transfer(transferId)

  const path = await world.file('waiting.bin', MIB)
  expect((await world.send(path, 'carol,bob', '--wait', '1s').ended).code).toBe(6)
  // What the portal shows now fits together; only that it is another transfer.
  evil.lies = {
    status: (status) => ({ ...status, manifest }),
    notification: (told) => (told.notification === 'delivered' ? [{ ...told, receipt }] : [told]),
  }
  const again = world.send(path, 'carol,bob', '--wait', '1s')
  expect((await again.ended).code).not.toBe(0)
  expect(again.json.some(({ notification }) => notification === 'delivered')).toBe(false)
})
