/** Receipts prove a delivery to anyone who has the file, without a portal. */
import { cp, mkdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { AccountKeys, fingerprintOf } from '../../../src/trust/index.ts'
import type { World } from '../harness/world.ts'
import { deliver, fingerprintOfAccount, PART_BYTES, PART_FLAGS, sceneWith, transferIdOf } from './scene.ts'

/** Runs a command on another machine of alice, which has only her profile and her contacts. */
async function onAnotherMachine(world: World, ...args: string[]) {
  await cp(world.path('config'), world.path('other', 'config'), { recursive: true })
  const env = { XDG_CONFIG_HOME: world.path('other', 'config'), XDG_STATE_HOME: world.path('other', 'state') }
  return world.start(args, { env }).ended
}

test('a saved receipt proves, without a portal, that this file was received, and proves it for no other file', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  const { path, transferId } = await deliver(scene, 'report.bin', 3)
  const fingerprint = await fingerprintOfAccount(world, 'bob')
  const saved = world.path('report.receipt')
  const mine = ['--profile', 'alice']
  const shown = await world.run('receipt', transferId, ...mine, '--out', saved)
  expect(shown.code, shown.stderr).toBe(0)
  for (const line of [transferId, 'from      alice', 'received  by bob, ', `${3 * PART_BYTES} bytes`, fingerprint]) {
    expect(shown.stdout).toContain(line)
  }
  const elsewhere = world.path('elsewhere.receipt')
  const fetched = await onAnotherMachine(world, 'receipt', transferId, ...mine, '--out', elsewhere)
  expect(fetched.code, fetched.stderr).toBe(0)
  expect(await readFile(elsewhere, 'utf8')).toBe(await readFile(saved, 'utf8'))

  // From here on the portal is stopped.
  await evil[Symbol.asyncDispose]()
  const again = await world.run('receipt', transferId, ...mine, '--receiver', 'bob')
  expect(again.stdout).toBe(shown.stdout)
  const verify = (file: string, receipt: string, ...flags: string[]) =>
    world.run('verify', file, '--receipt', receipt, ...flags)
  const proven = await verify(path, saved)
  expect(proven.code, proven.stdout + proven.stderr).toBe(0)
  expect(proven.stdout).toMatch(/proven: bob received exactly this file/)
  expect((await verify(path, saved, '--fingerprint', fingerprint.toUpperCase())).code).toBe(0)

  const changed = world.path('changed.bin')
  const content = await readFile(path)
  await writeFile(changed, content.fill((content[9] ?? 0) ^ 1, 9, 10))
  const cut = world.path('cut.bin')
  await cp(path, cut)
  await truncate(cut, 3 * PART_BYTES - 1)
  const receipt = JSON.parse(await readFile(saved, 'utf8'))
  const forged = async (name: string, change: object): Promise<string> => {
    await writeFile(world.path(name), JSON.stringify({ ...receipt, ...change }))
    return world.path(name)
  }
  const [header, payload, signature] = receipt.receipt.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const later = Buffer.from(JSON.stringify({ ...claims, iat: claims.iat + 1 })).toString('base64url')
  const { publicKeys } = await AccountKeys.generate()
  const cases: [what: string, file: string, receipt: string, flags: string[]][] = [
    ['a changed file', changed, saved, []],
    ['a shorter file', cut, saved, []],
    ['a changed receipt', path, await forged('later', { receipt: `${header}.${later}.${signature}` }), []],
    ['a receipt with another salt', path, await forged('salt', { salt: 'A'.repeat(43) }), []],
    ['a receipt with other keys', path, await forged('keys', { keys: publicKeys }), []],
    ['a receipt that names another receiver', path, await forged('carol', { receiver: 'carol' }), []],
    ['another fingerprint', path, saved, ['--fingerprint', await fingerprintOf(publicKeys)]],
  ]
  const codes = cases.map(async ([what, file, saved, flags]) => [what, (await verify(file, saved, ...flags)).code])
  expect(await Promise.all(codes)).toEqual(cases.map(([what]) => [what, 3]))
  expect((await verify(path, saved, '--fingerprint', 'abc')).code).toBe(2)
  expect((await verify(path, world.path('nowhere'))).code).toBe(2)
})

test('of several receivers each has signed; `receipt` saves one receipt at a time', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world, evil } = scene
  await Promise.all(['bob', 'carol'].map((name) => world.receiver(name)))
  const { path, transferId } = await deliver(scene, 'report.bin', 1, 'bob,carol')
  const all = await world.run('receipt', transferId, '--profile', 'alice')
  expect(all.stdout.match(/received {2}by \w+/g)?.sort()).toEqual(['received  by bob', 'received  by carol'])
  const both = await world.run('receipt', transferId, '--profile', 'alice', '--out', world.path('both'))
  expect(both.code).toBe(2)
  expect(both.stderr).toContain('--receiver NAME')
  const one = await world.run(
    'receipt',
    transferId,
    '--profile',
    'alice',
    '--out',
    world.path('one'),
    '--receiver',
    'carol',
  )
  expect(one.code, one.stderr).toBe(0)
  const proven = await world.run('verify', path, '--receipt', world.path('one'))
  expect(proven.stdout).toMatch(/proven: carol received/)

  // A portal that returns something else to another machine: nothing is shown or saved.
  const { metadata } = (await deliver(scene, 'other.bin', 1)).offer
  for (const lie of [{ manifest: null }, { metadata }, { metadata: { name: 'report.bin' } }]) {
    evil.lies = { says: (said) => ('notifications' in said ? { ...said, ...lie } : said) }
    const { code, stdout } = await onAnotherMachine(world, 'receipt', transferId, '--profile', 'alice')
    expect(code, JSON.stringify(lie)).not.toBe(0)
    expect(stdout.trim()).toBe('')
  }
})

test('whoami and contacts show the known fingerprints; wrong arguments change nothing', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await world.receiver('bob')
  await deliver(scene, 'report.bin', 1)
  const fingerprint = await fingerprintOfAccount(world, 'bob')
  expect((await world.run('whoami', '--profile', 'bob')).stdout).toBe(
    `bob at ${scene.evil.url}\nkeys: ${fingerprint}\n`,
  )
  const known = await world.run('contacts', '--profile', 'alice')
  expect(known.stdout).toContain(`bob    ${fingerprint}  remembered at the first use`)
  for (const args of [[], ['bob'], ['bob', 'abcd'], ['bob', `${fingerprint}x`], ['../bob', fingerprint]]) {
    const { code, stderr } = await world.run('contacts', 'trust', ...args, '--profile', 'alice')
    expect(code, args.join(' ')).toBe(2)
    expect(stderr).not.toBe('')
  }
  expect((await world.run('contacts', '--profile', 'alice')).stdout).toBe(known.stdout)
})

test('a portal for sealed files only refuses others; the output says when a file is not sealed', async () => {
  await using scene = await sceneWith(['alice', 'bob'], ['--sealed-only'])
  const { world, evil } = scene
  const path = await world.file('report.bin', 10)
  const plain = await world.run('send', path, '--to', 'bob', '--profile', 'alice', '--plain')
  expect(plain.code).toBe(4)
  expect(plain.stdout).toContain('NOT SEALED: the portal can read it')
  expect(plain.stdout).toContain('(sealing-required)')
  expect(evil.uploads).toEqual([])
  const sealed = await world.run('send', path, '--to', 'bob', '--profile', 'alice', '--no-wait')
  expect(sealed.code).toBe(0)
  expect(sealed.stdout).toContain(', sealed, ')
  expect(sealed.stdout).not.toContain('NOT SEALED')

  // An account with only a token cannot seal, and sends unsealed only on request.
  const env = { GOLOOADER_PORTAL: evil.url, GOLOOADER_TOKEN: await world.token('alice') }
  const keyless = await world.start(['send', path, '--to', 'bob', ...PART_FLAGS], { env }).ended
  expect(keyless.code).toBe(2)
  expect(keyless.stderr).toContain('GOLOOADER_KEYS')
  expect(evil.uploads).toHaveLength(1)
})

test('an account without keys is told so when it looks at a sealed file', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  expect((await world.send(await world.file('sealed.bin', 1), 'bob', '--no-wait').ended).code).toBe(0)
  const env = { GOLOOADER_PORTAL: world.portalUrl, GOLOOADER_TOKEN: await world.token('alice') }
  const { stdout, code } = await world.start(['status'], { env }).ended
  expect([code, stdout]).toEqual([0, expect.stringContaining('(sealed, and this account has no keys) to bob')])
})

test('a receipt that cannot be saved is reported and fetched again later; the delivery is still proven', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await world.receiver('bob')
  const kept = world.path('state', 'golooader', 'receipts')
  await mkdir(world.path('state', 'golooader'), { recursive: true })
  await writeFile(kept, 'a file where the folder should be')
  const path = await world.file('kept.bin', PART_BYTES)
  const sending = world.send(path, 'bob')
  expect((await sending.ended).code).toBe(0)
  expect(await sending.notification('delivered')).toHaveProperty('receipt')
  expect(sending.json.find(({ phase }) => phase === 'receipt-unkept')).toMatchObject({ receiver: 'bob' })

  await rm(kept)
  const { code, stdout } = await world.run('receipt', transferIdOf(sending), '--profile', 'alice')
  expect(code).toBe(0)
  expect(stdout).toContain('verified')
})

test('two accounts receive into one folder: the file is there once, and each has signed for it', async () => {
  await using scene = await sceneWith(['alice', 'bob', 'carol'])
  const { world } = scene
  const sending = world.send(await world.file('report.bin', 3 * PART_BYTES), 'bob,carol', ...PART_FLAGS)
  const receiver = await world.receiver('bob')
  await sending.object(({ notification, receiver }) => notification === 'delivered' && receiver === 'bob')
  await receiver.stop()
  world.start(['receive', '--into', world.inbox('bob'), '--create', '--profile', 'carol', '--json'])
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  expect(await world.received('bob')).toEqual(['report.bin'])
})
