/** What a portal learns, and what never leaves a sender twice under one key. */
import { createHash, randomFillSync } from 'node:crypto'
import { copyFile, open, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256Of, until, World } from '../harness/world.ts'
import { EvilPortal } from './evil-portal.ts'

const MIB = 1024 * 1024

test('the portal learns neither the name nor the content of a sealed file, nor anything to know it by', async () => {
  await using world = await World.create()
  await world.portal()
  await using evil = await EvilPortal.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: evil, bob: evil })
  await world.receiver('bob')
  const secret = 'the-merger-with-initech.xlsx'
  const path = await world.file(secret, 3 * MIB)
  const content = await readFile(path)
  expect((await world.send(path, 'bob', '--part-size', '1MiB').ended).code).toBe(0)

  const parts = [0, 1, 2].map((index) => content.subarray(index * MIB, (index + 1) * MIB))
  const digests = [content, ...parts].map((bytes) => createHash('sha256').update(bytes).digest())
  const manifest = createHash('sha256')
    .update(Buffer.concat(digests.slice(1)))
    .digest()
  const needles = [
    Buffer.from(secret),
    Buffer.from(secret).toString('base64url').slice(0, 30),
    content.subarray(1000, 1032),
    ...[...digests, manifest].flatMap((digest) => [
      digest,
      digest.toString('hex'),
      digest.toString('base64'),
      digest.toString('base64url'),
    ]),
  ]
  const seen = [...evil.heard, ...evil.sent.map(({ bytes }) => bytes)].map((one) => Buffer.from(one))
  for (const entry of await readdir(world.dataFolder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) seen.push(await readFile(join(entry.parentPath, entry.name)))
  }
  expect(seen.length).toBeGreaterThan(10)
  for (const bytes of seen) for (const needle of needles) expect(bytes.includes(needle)).toBe(false)

  // And names of every length look alike.
  expect((await world.send(await world.file('x', 1), 'bob').ended).code).toBe(0)
  const lengths = evil.heard.flatMap((text) => /"sealed":"([^"]+)"/.exec(text)?.[1]?.length ?? [])
  expect(new Set(lengths).size).toBe(1)
})

/** Replaces some bytes, and makes everything about the file look as before. */
async function changeUnseen(path: string, atByte: number): Promise<void> {
  const before = await stat(path, { bigint: true })
  const handle = await open(path, 'r+')
  await handle.write(randomFillSync(Buffer.alloc(1000)), 0, 1000, atByte)
  await handle.close()
  // Node sets times to the microsecond at best, so the file was given such a time from the beginning.
  await utimes(path, Number(before.atimeMs) / 1000, Number(before.mtimeMs) / 1000)
  const after = await stat(path, { bigint: true })
  expect([after.mtimeNs, after.size, after.ino]).toEqual([before.mtimeNs, before.size, before.ino])
}

/** Whatever left the sender for one part of one transfer is the same, as far as it went. */
function expectOneContentPerKey(evil: EvilPortal): void {
  const known = new Map<string, Buffer>()
  for (const { transferId, partNumber, bytes } of evil.sent) {
    const key = `${transferId} ${partNumber}`
    const other = known.get(key) ?? Buffer.alloc(0)
    const length = Math.min(other.length, bytes.length)
    expect(bytes.subarray(0, length).equals(other.subarray(0, length)), `part ${partNumber} of ${transferId}`).toBe(
      true,
    )
    if (bytes.length > other.length) known.set(key, bytes)
  }
}

const whole = 1_700_000_000

test.each([
  ['of several parts, killed in the middle', 4 * MIB, 1.5, async () => {}],
  ['of one part, killed in the middle', MIB, 0.5, async () => {}],
  [
    'whose seal record is gone',
    4 * MIB,
    1.5,
    async (journal: string) => {
      for (const name of await readdir(journal)) if (name.endsWith('.sealed')) await rm(join(journal, name))
    },
  ],
  [
    'whose seal record is cut off',
    4 * MIB,
    1.5,
    async (journal: string) => {
      for (const name of await readdir(journal)) if (name.endsWith('.sealed')) await truncate(join(journal, name), 10)
    },
  ],
] as const)(
  'a file %s and changed unseen is never sealed twice with one key',
  async (_what, sizeBytes, cutAt, harm) => {
    await using world = await World.create()
    await world.portal()
    await using evil = await EvilPortal.open(() => world.portalUrl)
    await world.join(['alice', 'bob'], { alice: evil })
    const path = await world.file('slippery.bin', sizeBytes)
    await utimes(path, whole, whole)

    evil.cutAfterBytes = cutAt * MIB
    const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1')
    await until(
      () => evil.sent.some(({ bytes }) => bytes.length > 0 && bytes.length < MIB),
      'the link breaks in a part',
    )
    await sending.stop('SIGKILL')
    await changeUnseen(path, sizeBytes - MIB / 2)
    await changeUnseen(path, 100)
    await harm(world.path('state/golooader/journal'))

    evil.cutAfterBytes = Number.POSITIVE_INFINITY
    await world.receiver('bob')
    const again = world.send(path, 'bob', '--part-size', '1MiB')
    expect((await again.ended).code).toBe(0)
    expectOneContentPerKey(evil)
    expect(await sha256Of(`${world.inbox('bob')}/slippery.bin`)).toBe(await sha256Of(path))
    expect(new Set(evil.sent.map(({ transferId }) => transferId)).size, 'a new key, a new transfer').toBe(2)
  },
)

test('a file that is unchanged goes on with the same transfer and key, and only what is missing travels', async () => {
  await using world = await World.create()
  await world.portal()
  await using evil = await EvilPortal.open(() => world.portalUrl)
  await world.join(['alice', 'bob'], { alice: evil })
  const path = await world.file('steady.bin', 6 * MIB)
  evil.cutAfterBytes = 3.5 * MIB
  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1')
  await until(() => evil.sent.length >= 4, 'the link breaks in the fourth part')
  await sending.stop('SIGKILL')
  const before = evil.sent.length

  evil.cutAfterBytes = Number.POSITIVE_INFINITY
  expect((await world.send(path, 'bob', '--part-size', '1MiB', '--no-wait').ended).code).toBe(0)
  expectOneContentPerKey(evil)
  expect(new Set(evil.sent.map(({ transferId }) => transferId)).size).toBe(1)
  const later = evil.sent.slice(before).map(({ partNumber }) => partNumber)
  expect(later.sort()).toEqual([4, 5, 6])
})

test('a receipt proves a delivery offline, from any machine that has the keys, and nothing else does', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const path = await world.file('report.pdf', 3 * MIB)
  const sending = world.send(path, 'bob', '--part-size', '1MiB')
  expect((await sending.ended).code).toBe(0)
  const { transferId } = (await sending.notification('delivered')) as unknown as { transferId: string }

  // From another machine: profile and contacts, but no state.
  const env = { XDG_STATE_HOME: world.path('elsewhere') }
  const args = ['receipt', transferId, '--profile', 'alice', '--out', 'fetched.receipt']
  expect((await world.start(args, { env }).ended).stdout).toContain(`receipt of transfer ${transferId}, verified`)
  await portal.stop()
  // From this one: without any portal.
  expect(await world.run('receipt', transferId, '--profile', 'alice', '--out', 'kept.receipt')).toMatchObject({
    code: 0,
  })
  expect(JSON.parse(await readFile(world.path('kept.receipt'), 'utf8'))).toEqual(
    JSON.parse(await readFile(world.path('fetched.receipt'), 'utf8')),
  )

  const verify = (file: string, receipt = 'kept.receipt', ...more: string[]) =>
    world.run('verify', file, '--receipt', receipt, ...more)
  expect(await verify(path)).toMatchObject({ code: 0, stdout: expect.stringContaining('proven: bob received') })
  const { fingerprint } = JSON.parse((await world.run('whoami', '--profile', 'bob', '--json')).stdout)
  expect((await verify(path, 'kept.receipt', '--fingerprint', fingerprint)).code).toBe(0)
  const mine = JSON.parse((await world.run('whoami', '--profile', 'alice', '--json')).stdout).fingerprint
  expect((await verify(path, 'kept.receipt', '--fingerprint', mine)).code).toBe(3)

  const changed = world.path('changed.pdf')
  await copyFile(path, changed)
  await truncate(changed, 3 * MIB - 1)
  expect((await verify(changed)).code).toBe(3)
  await copyFile(path, changed)
  const handle = await open(changed, 'r+')
  await handle.write(Buffer.of(1, 2, 3), 0, 3, 2 * MIB)
  await handle.close()
  expect((await verify(changed)).code).toBe(3)
  const kept = JSON.parse(await readFile(world.path('kept.receipt'), 'utf8'))
  await writeFile(world.path('bent.receipt'), JSON.stringify({ ...kept, receiver: 'carol' }))
  expect((await verify(path, 'bent.receipt')).code).toBe(3)
  await writeFile(world.path('none.receipt'), 'nothing')
  expect((await verify(path, 'none.receipt')).code).toBe(4)
})

test('a portal that takes sealed files only refuses others; one that is not sealed says so', async () => {
  await using world = await World.create()
  await world.portal(['--sealed-only'])
  await world.join(['alice', 'bob'])
  await world.receiver('bob')
  const path = await world.file('a.bin', 1000)
  const plain = await world.run('send', path, '--to', 'bob', '--profile', 'alice', '--plain')
  expect(plain.code).toBe(4)
  expect(plain.stdout).toContain('NOT SEALED')
  expect(plain.stdout).toContain('(sealing-required)')
  expect((await world.send(path, 'bob').ended).code).toBe(0)
})
