/** What a portal learns about a sealed file: its size, its times, its sender and its receivers. Nothing more. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf, fastDigestAlgorithms } from '../../../src/digests/index.ts'
import { type DigestAlgorithm, knownDigestAlgorithms } from '../../../src/protocol/index.ts'
import { unfinished } from '../second-hop/scene.ts'
import { PART_BYTES, PART_FLAGS, type Scene, sceneWith } from './scene.ts'

const NAME = 'merger with Initech, strictly confidential.txt'
const SENTENCE = 'We offer 4711 million for all of it. '

/** Everything that the portal has on disk and in its log. */
async function everythingAtPortal({ world, evil }: Scene): Promise<Map<string, Buffer>> {
  const all = new Map<string, Buffer>()
  for (const entry of await readdir(world.dataFolder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) all.set(path, await readFile(path))
    all.set(`${path}, as a name`, Buffer.from(entry.name))
  }
  evil.requests.forEach(({ method, path, head, body }, index) => {
    all.set(`request ${index}, ${method} ${path}`, Buffer.concat([Buffer.from(head), body]))
  })
  return all
}

/** The encodings in which bytes may appear. Of base64 only the characters that do not depend on the offset. */
function spellings(bytes: Buffer): Buffer[] {
  const texts = [0, 1, 2].flatMap((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes])
    const inside = (text: string): string => text.slice(4, 4 * Math.floor(shifted.length / 3))
    return [inside(shifted.toString('base64')), inside(shifted.toString('base64url'))]
  })
  return [
    bytes,
    ...[bytes.toString('hex'), bytes.toString('hex').toUpperCase(), ...texts].map((one) => Buffer.from(one)),
  ]
}

/** The digests of all algorithms. */
function digestsOf(what: string, bytesFor: (algorithm: DigestAlgorithm) => Buffer): [what: string, bytes: Buffer][] {
  return knownDigestAlgorithms.map((name) => [`the ${name} of ${what}`, rawDigestOf(name, bytesFor(name))])
}

const rawDigestOf = (algorithm: DigestAlgorithm, bytes: Buffer): Buffer =>
  Buffer.from(digestOf(algorithm, bytes), 'hex')

test('neither the name nor the content of a file, nor a digest of it, reaches the portal', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const content = Buffer.alloc(3 * PART_BYTES - 100, SENTENCE)
  await mkdir(world.path('files'))
  const path = world.path('files', NAME)
  await writeFile(path, content)
  const parts = [0, 1, 2].map((index) => content.subarray(index * PART_BYTES, (index + 1) * PART_BYTES))
  const secrets: [what: string, bytes: Buffer][] = [
    ['the name', Buffer.from(NAME)],
    ['a part of the name', Buffer.from('confidential')],
    ['the content', Buffer.from(SENTENCE)],
    ...digestsOf('the content', () => content),
    ...parts.flatMap((part, index) => digestsOf(`part ${index + 1}`, () => part)),
    ...digestsOf('the digests', (name) => Buffer.concat(parts.map((part) => rawDigestOf(name, part)))),
    ['the private keys', Buffer.from(JSON.parse(await readFile(profileOf(scene, 'alice'), 'utf8')).keys.slice(4))],
  ]
  const search = async (): Promise<string[]> => {
    const places = await everythingAtPortal(scene)
    return [...places].flatMap(([place, bytes]) =>
      secrets
        .filter(([, secret]) => spellings(secret).some((one) => bytes.includes(one)))
        .map(([what]) => `${what} in ${place}`),
    )
  }
  // While it is stored, after it is delivered, and when it is sent again and the receiver cannot write it.
  expect((await world.send(path, 'bob', ...PART_FLAGS, '--no-wait').ended).code).toBe(0)
  expect(await world.stored()).toHaveLength(3)
  expect(await search()).toEqual([])
  await world.receiver('bob')
  expect((await world.send(path, 'bob', ...PART_FLAGS).ended).code).toBe(0)
  expect(await unfinished(world, 'bob')).toEqual([])
  expect(await readFile(join(world.inbox('bob'), NAME))).toEqual(content)
  expect(await search()).toEqual([])

  // A check of the search: it finds the same file when it is sent without a seal.
  expect((await world.send(path, 'bob', ...PART_FLAGS, '--plain').ended).code).toBe(0)
  const found = await search()
  const [algorithm] = fastDigestAlgorithms
  for (const what of ['the name', 'the content', `the ${algorithm} of part 2`, `the ${algorithm} of the digests`]) {
    expect(found.filter((one) => one.startsWith(`${what} in`)).length, what).toBeGreaterThan(0)
  }
  expect(evil.requests.length).toBeGreaterThan(0)
})

function profileOf({ world }: Scene, name: string): string {
  return world.path('config', 'golooader', 'profiles', `${name}.json`)
}

test('equal content cannot be recognised: neither within a file, nor when a file is sent twice', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await mkdir(world.path('files'))
  const path = world.path('files', 'zeros.bin')
  await writeFile(path, Buffer.alloc(3 * PART_BYTES))
  for (const _ of [1, 2]) expect((await world.send(path, 'bob', ...PART_FLAGS, '--no-wait').ended).code).toBe(0)
  const beginnings = evil.uploads.map(({ bytes }) => bytes.subarray(0, 64).toString('hex'))
  expect(beginnings).toHaveLength(6)
  expect(new Set(beginnings).size).toBe(6)
})

test('names do not reveal their length: a short one and a long one are sealed to the same length', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const paths = await Promise.all(['a', `${'long'.repeat(50)}.txt`].map((name) => world.file(name, 10)))
  // One after the other, because files that are sent together are announced by one request.
  for (const path of paths) expect((await world.send(path, 'bob', '--no-wait').ended).code).toBe(0)
  const lengths = evil.announcements.map(({ metadata }) => (metadata as { sealed: string }).sealed.length)
  expect(lengths).toHaveLength(2)
  expect(new Set(lengths).size).toBe(1)
})

test('the refusal of a file that its receiver cannot write does not contain its name', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world } = scene
  await world.receiver('bob')
  const name = '.golooader-merger-confidential'
  const path = await world.file(name, 10)
  const sending = world.send(path, 'bob')
  expect((await sending.ended).code).toBe(3)
  expect(await sending.notification('failed')).toMatchObject({ problem: { code: 'name-refused' } })
  const places = await everythingAtPortal(scene)
  expect([...places].filter(([, bytes]) => bytes.includes('merger')).map(([place]) => place)).toEqual([])
})
