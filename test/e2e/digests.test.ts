/** Sender and portal agree on a digest algorithm. The addon that makes one of them fast is optional. */
import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { digestOf, fastDigestAlgorithms, manifestDigestOf } from '../../src/digests/index.ts'
import { newTransferId, partSizeBytesMin } from '../../src/protocol/index.ts'
import { addonIsRequired, withoutAddon } from '../suites/addon.ts'
import { sha256Of, World } from './harness/world.ts'

const MIB = 1024 * 1024
const BIG = ['--part-size', '1MiB']
const env = withoutAddon

/** Sends a file to bob and waits for the delivery. @returns its transfer, as the portal has it */
async function delivered(world: World, sizeBytes: number, args: readonly string[], sender = {}) {
  const name = `of-${sizeBytes}-bytes${args.join('')}.bin`
  const path = await world.file(name, sizeBytes)
  const sending = world.start(['send', path, '--to', 'bob', '--profile', 'alice', '--json', ...args], sender)
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  expect(await sha256Of(`${world.inbox('bob')}/${name}`)).toBe(await sha256Of(path))
  const { transferId } = await sending.notification('delivered')
  return { path, transfer: await (await world.client('alice')).transfer(String(transferId)) }
}

// On the platforms of CI the addon must be installed. Elsewhere it may be missing.
describe.runIf(addonIsRequired || fastDigestAlgorithms.includes('blake3'))('where the addon is installed', () => {
  test.each([
    ['a large file', 3 * MIB + 1, BIG],
    ['a large file that is not sealed', 3 * MIB + 1, [...BIG, '--plain']],
    ['a small file', 10, []],
    ['an empty file', 0, []],
  ])('%s is delivered with blake3, and its receipt can be verified without the addon', async (_what, size, args) => {
    await using world = await World.create()
    await world.portal()
    await world.join(['alice', 'bob'])
    await world.receiver('bob')
    const { path, transfer } = await delivered(world, size, args)
    expect(transfer.digestAlgorithm).toBe('blake3')

    const receipt = world.path('the.receipt')
    await world.run('receipt', transfer.transferId, '--profile', 'alice', '--out', receipt)
    for (const options of [{}, { env }]) {
      const { code, stdout } = await world.start(['verify', path, '--receipt', receipt, '--json'], options).ended
      expect(code, stdout).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ isProven: true, claims: { digestAlgorithm: 'blake3' } })
    }
    const other = await world.file('other.bin', size + 1)
    expect((await world.start(['verify', other, '--receipt', receipt], { env }).ended).code).toBe(3)
  })

  test('an operator can disable blake3: then senders use sha-256', async () => {
    await using world = await World.create()
    await world.portal(['--digests', 'sha-256'])
    await world.join(['alice', 'bob'])
    await world.receiver('bob')
    expect((await delivered(world, 3 * MIB, BIG)).transfer.digestAlgorithm).toBe('sha-256')
  })

  test('a transfer that began with blake3 continues when the portal restarts without the addon', async () => {
    await using world = await World.create()
    const first = await world.portal()
    // The test signs nothing, and receivers require signatures from a sender that has keys.
    await world.join(['alice', 'bob'], {}, { hasKeys: false })
    const alice = await world.client('alice')
    const parts = ['a', 'b'].map((text) => Buffer.alloc(partSizeBytesMin, text))
    const digests = parts.map((bytes) => digestOf('blake3', bytes))
    const announcement = {
      to: ['bob'],
      metadata: { name: 'ab.txt' },
      sizeBytes: 2 * partSizeBytesMin,
      partSizeBytes: partSizeBytesMin,
      digestAlgorithm: 'blake3' as const,
    }
    const put = (transferId: string, partNumber: number) =>
      alice.putPart(transferId, partNumber, {
        bytes: parts[partNumber - 1] ?? Buffer.of(),
        digest: digests[partNumber - 1] ?? '',
        digestAlgorithm: 'blake3',
      })
    const transferId = newTransferId()
    await alice.announce(transferId, announcement)
    await put(transferId, 1)
    await first.stop('SIGKILL')

    await world.portal([], { env })
    await expect(alice.announce(newTransferId(), announcement)).rejects.toMatchObject({
      code: 'digest-unsupported-algorithm',
    })
    const { parts: held } = await alice.announce(transferId, announcement)
    expect(held).toEqual([{ partNumber: 1, digest: digests[0] }])
    await put(transferId, 2)
    const manifestDigest = manifestDigestOf('blake3', digests)
    expect(await alice.complete(transferId, { attempt: 1, manifestDigest })).toMatchObject({ notification: 'stored' })
    const receiving = world.start(['receive', '--into', world.inbox('bob'), '--create', '--profile', 'bob', '--once'])
    expect((await receiving.ended).code).toBe(0)
    expect(await readFile(`${world.inbox('bob')}/ab.txt`)).toEqual(Buffer.concat(parts))
  })
})

describe.each(['sender', 'portal', 'receiver'])('where the %s has no addon', (who) => {
  test('files of every size are delivered', async () => {
    await using world = await World.create()
    const of = (one: string) => (one === who ? { env } : {})
    await world.portal([], of('portal'))
    await world.join(['alice', 'bob'])
    await world.receiver('bob', [], of('receiver'))
    // Receivers do not choose: they use the algorithm that sender and portal agreed on.
    const agreed = who === 'receiver' ? fastDigestAlgorithms[0] : 'sha-256'
    for (const [sizeBytes, args] of [
      [3 * MIB + 1, BIG],
      [3 * MIB, [...BIG, '--plain']],
      [10, []],
      [0, []],
    ] as const) {
      const { transfer } = await delivered(world, sizeBytes, args, of('sender'))
      expect(transfer.digestAlgorithm).toBe(agreed)
    }
  })
})
