/** A portal claims a delivery. The sender believes it only with the receiver's signature. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { AccountKeys, signManifest, signReceipt, verifyManifest, verifyReceiptToken } from '../../../src/trust/index.ts'
import type { Running } from '../harness/world.ts'
import type { Asked, Json, Lies } from './evil-portal.ts'
import { deliver, fingerprintOfAccount, keysOf, PART_BYTES, PART_FLAGS, type Scene, sceneWith } from './scene.ts'

/** Changes every delivery notification, on every path to the sender. */
function deliveredAs(change: (delivered: Json) => Json | Promise<Json>): Lies {
  const isDelivered = (said: Json): boolean => said.notification === 'delivered'
  return {
    async says(said) {
      if (isDelivered(said)) return change(said)
      if (!Array.isArray(said.notifications)) return said
      const notifications = await Promise.all(said.notifications.map((one) => (isDelivered(one) ? change(one) : one)))
      return { ...said, notifications }
    },
  }
}

/** The sender reported the failure and its reason, and no delivery. */
async function expectUnproven(sending: Running, receiver = 'bob', what = ''): Promise<void> {
  const { code, stdout, stderr } = await sending.ended
  expect(code, what + stdout + stderr).toBe(3)
  expect(sending.json.at(-1), what).toMatchObject({
    transfers: [{ outcome: 'failed', failures: [{ receiver, problem: { code: 'receipt-invalid' } }] }],
  })
  expect(sending.json.filter(({ notification }) => notification === 'delivered')).toEqual([])
}

test('a receipt for another transfer or of another receiver is rejected', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  await Promise.all(['bob', 'carol'].map((name) => world.receiver(name)))
  const receipts: string[] = []
  evil.lies = deliveredAs((said) => {
    receipts.push(String(said.receipt))
    return said
  })
  await deliver(scene, 'old.bin', 2)
  await deliver(scene, 'for-carol.bin', 2, 'carol')
  const [ofOld, ofCarol] = [...new Set(receipts)]
  const bob = (await keysOf(world, 'bob')).publicKeys
  const strangers = await AccountKeys.generate()
  const cases: Record<string, (said: Json) => Json | Promise<Json>> = {
    'it is taken away': ({ receipt: _, ...rest }) => rest,
    'it is garbage': (said) => ({ ...said, receipt: 'garbage.garbage.garbage' }),
    'it is that of another transfer': (said) => ({ ...said, receipt: ofOld }),
    'it is that of another receiver': (said) => ({ ...said, receipt: ofCarol }),
    'it says the same, and is signed with other keys': async (said) => ({
      ...said,
      receipt: await signReceipt(await verifyReceiptToken(String(said.receipt), bob), strangers),
    }),
    'one letter of it is another': (said) => ({ ...said, receipt: String(said.receipt).replace('.ey', '.ez') }),
    'it names another receiver': (said) => ({ ...said, receiver: 'carol' }),
  }
  const path = await world.file('new.bin', 2 * PART_BYTES)
  for (const [what, change] of Object.entries(cases)) {
    evil.lies = deliveredAs(change)
    const isOfOther = what === 'it names another receiver'
    const sending = world.send(path, 'bob', ...PART_FLAGS, ...(isOfOther ? ['--wait', '1s'] : []))
    if (isOfOther) {
      // A delivery to an account that was sent nothing is not reported.
      expect((await sending.ended).code).toBe(6)
      expect(sending.json.filter(({ notification }) => notification === 'delivered')).toEqual([])
    } else await expectUnproven(sending, 'bob', what)
  }
})

test('an invented delivery to an offline receiver is rejected', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const path = await world.file('report.bin', PART_BYTES)
  expect((await world.send(path, 'bob', '--wait', '1s').ended).code).toBe(6)
  evil.lies = {
    says(said) {
      if (said.state !== 'stored' || !Array.isArray(said.notifications)) return said
      const about = { eventId: '99', at: new Date().toISOString(), transferId: said.transferId, attempt: 1 }
      const delivered = { ...about, notification: 'delivered', receiver: 'bob' }
      return { ...said, state: 'ended', notifications: [...said.notifications, delivered] }
    },
  }
  await expectUnproven(world.send(path, 'bob'))
  expect(await world.received('bob')).toEqual([])
  expect((await world.send(path, 'bob', '--wait', '1s').ended).code).toBe(6)
  const inWords = await world.run('send', path, '--to', 'bob', '--profile', 'alice')
  expect(inWords.code).toBe(3)
  expect(inWords.stdout).toContain('not delivered to bob')
  expect(inWords.stdout).toContain('(receipt-invalid)')
})

test('another manifest than the one that the sender signed proves nothing, also when the sender comes back to wait', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const away = world.send(await world.file('old.bin', PART_BYTES), 'bob', '--no-wait')
  expect((await away.ended).code).toBe(0)
  const alice = await world.client('alice')
  const old = await alice.transfer(String((await away.object(({ phase }) => phase === 'started')).transferId))
  const own = await AccountKeys.generate()
  const publicKeys = (await keysOf(world, 'alice')).publicKeys
  const manifests: Record<string, (manifest: string) => Promise<unknown>> = {
    'of another transfer': async () => old.manifest,
    'signed with other keys': async (manifest) => signManifest(await verifyManifest(manifest, publicKeys), own),
    none: async () => null,
  }
  const paths = new Map<string, string>()
  for (const what of Object.keys(manifests)) {
    const path = await world.file(`waited for ${what}.bin`, PART_BYTES)
    paths.set(what, path)
    expect((await world.send(path, 'bob', '--wait', '1s').ended).code).toBe(6)
  }
  await world.receiver('bob')
  await expect.poll(() => world.received('bob'), { timeout: 90_000 }).toHaveLength(4)
  for (const [what, change] of Object.entries(manifests)) {
    evil.lies = {
      says: async (said) =>
        typeof said.manifest === 'string' && 'notifications' in said
          ? { ...said, manifest: await change(said.manifest) }
          : said,
    }
    await expectUnproven(world.send(String(paths.get(what)), 'bob'), 'bob', what)
  }
})

const isAbout =
  (name: string) =>
  ({ path }: Asked): boolean =>
    path === `/v1/accounts/${name}`

/** Reports other keys for an account. */
function namesFor({ evil }: Scene, name: string, keys: AccountKeys['publicKeys'] | null): void {
  evil.lies = { says: (said, about) => (isAbout(name)(about) ? { ...said, keys } : said) }
}

test('when the portal reports other keys for a known receiver, nothing is sent, and the sender gets advice', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const bob = await world.receiver('bob')
  await deliver(scene, 'old.bin', 1)
  const known = await fingerprintOfAccount(world, 'bob')
  const { publicKeys } = await AccountKeys.generate()
  namesFor(scene, 'bob', publicKeys)
  const before = evil.requests.length
  const path = await world.file('new.bin', PART_BYTES)
  for (const flags of [[], ['--plain']]) {
    const { code, stderr } = await world.run('send', path, '--to', 'bob', '--profile', 'alice', ...flags)
    expect(code).toBe(4)
    expect(stderr).toContain(`bob is known by the keys ${known}, and now has `)
    expect(stderr).toMatch(/\(keys-changed\)\n.*Ask bob, not by way of the portal/)
    expect(stderr).toMatch(/golooader contacts trust bob ([a-z2-7]{4}-){5}[a-z2-7]{4}$/m)
  }
  const since = evil.requests.slice(before)
  expect(since.filter(({ method }) => method !== 'GET')).toEqual([])

  // A fingerprint that comes from the portal changes nothing, and keys that are not named are not trusted.
  const wrong = await world.run('contacts', 'trust', 'bob', known, '--profile', 'alice')
  expect(wrong.code).toBe(2)
  expect(wrong.stderr).toContain('Nothing was changed')
  evil.lies = {}
  expect((await world.send(path, 'bob').ended).code).toBe(0)

  // Bob joined again on another machine: the new keys are really his.
  await bob.stop()
  const keys = await AccountKeys.generate()
  const profile = world.path('config', 'golooader', 'profiles', 'bob.json')
  await writeFile(profile, JSON.stringify({ ...JSON.parse(await readFile(profile, 'utf8')), keys: keys.secret }))
  await (await world.client('bob')).setKeys(keys.publicKeys)
  const whoami = await world.run('whoami', '--profile', 'bob')
  const fingerprint = /^keys: (\S+)$/m.exec(whoami.stdout)?.[1]
  expect((await world.send(path, 'bob').ended).code).toBe(4)
  await world.receiver('bob')
  const trusted = await world.run('contacts', 'trust', 'bob', String(fingerprint), '--profile', 'alice')
  expect(trusted.code, trusted.stderr).toBe(0)
  expect((await world.send(path, 'bob').ended).code).toBe(0)
})

test('with a fingerprint that was compared before the first use, other keys are refused', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await world.receiver('bob')
  const fingerprint = await fingerprintOfAccount(world, 'bob')
  // The portal hides bob's keys, so only the fingerprint is known.
  namesFor(scene, 'bob', null)
  expect((await world.run('contacts', 'trust', 'bob', fingerprint.toUpperCase(), '--profile', 'alice')).code).toBe(0)
  const path = await world.file('report.bin', PART_BYTES)
  for (const flags of [[], ['--plain']]) {
    const { code, stderr } = await world.run('send', path, '--to', 'bob', '--profile', 'alice', ...flags)
    expect(code, flags.join()).toBe(4)
    expect(stderr).toContain('(keys-missing)')
  }
  namesFor(scene, 'bob', (await AccountKeys.generate()).publicKeys)
  const { code, stderr } = await world.run('send', path, '--to', 'bob', '--profile', 'alice')
  expect(code).toBe(4)
  expect(stderr).toContain('(keys-changed)')
  expect(stderr).toContain(fingerprint)
  scene.evil.lies = {}
  expect((await world.send(path, 'bob').ended).code).toBe(0)
  expect(await world.received('bob')).toEqual(['report.bin'])
})

test('when the portal claims that a receiver has no keys, nothing is sent without a seal', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  namesFor(scene, 'bob', null)
  const path = await world.file('report.bin', PART_BYTES)
  const { code, stderr } = await world.run('send', path, '--to', 'bob', '--profile', 'alice')
  expect(code).toBe(4)
  expect(stderr).toContain('(keys-missing)')
  expect(evil.requests.filter(({ method }) => method !== 'GET')).toEqual([])
})

test('at the first use the portal is believed, and the fingerprint reveals the lie', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  const mallory = await AccountKeys.generate()
  namesFor(scene, 'bob', mallory.publicKeys)
  const sending = world.send(await world.file('report.bin', PART_BYTES), 'bob', '--no-wait')
  expect((await sending.ended).code).toBe(0)
  const { stdout } = await world.run('contacts', '--profile', 'alice')
  expect(stdout).toContain('remembered at the first use')
  expect(stdout).not.toContain(await fingerprintOfAccount(world, 'bob'))
})
