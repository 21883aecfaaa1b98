/**
 * One key never seals two different contents of the same part. The tests attack this: a file is overwritten with its
 * size and times restored, a sender is killed at the worst moments, and a journal is damaged. All bytes that leave the
 * sender are kept and compared.
 */
import { cp, open, readdir, readFile, rm, stat, truncate, utimes } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { type Running, until, type World } from '../harness/world.ts'
import type { Asked, EvilPortal } from './evil-portal.ts'
import {
  expectArrived,
  expectOneContent,
  PART_BYTES,
  PART_FLAGS,
  type Scene,
  sceneWith,
  transferIdOf,
} from './scene.ts'

const PARTS = 6
const NEVER = Number.POSITIVE_INFINITY
const FLAGS = [...PART_FLAGS, '--parts-in-flight', '1']

async function fileOf(world: World, partCount: number, name = 'report.bin'): Promise<string> {
  const path = await world.file(name, partCount * PART_BYTES)
  // A time that can be restored to the nanosecond.
  await utimes(path, 1_700_000_000, 1_700_000_000)
  return path
}

/** Overwrites a file from an offset with other content. Its size, times and inode stay the same. */
async function writeOver(path: string, fromByte = 0): Promise<void> {
  const before = await stat(path, { bigint: true })
  const content = await readFile(path)
  const handle = await open(path, 'r+')
  await handle.write(
    content.map((byte) => byte ^ 0xff),
    fromByte,
    content.length - fromByte,
    fromByte,
  )
  await handle.close()
  await utimes(path, 1_700_000_000, 1_700_000_000)
  const { size, mtimeNs, ino } = await stat(path, { bigint: true })
  expect({ size, mtimeNs, ino }).toEqual({ size: before.size, mtimeNs: before.mtimeNs, ino: before.ino })
}

const isPart =
  (partNumber: number) =>
  ({ method, path }: Asked): boolean =>
    method === 'PUT' && path.endsWith(`/parts/${partNumber}`)
const isWhole = ({ method, path }: Asked): boolean => method === 'PUT' && path.endsWith('/whole')
const isComplete = ({ method, path }: Asked): boolean => method === 'POST' && path.endsWith('/complete')

/** Reads that many bytes of a matching request, and never answers it. */
function hang(evil: EvilPortal, isIt: (asked: Asked) => boolean, afterBytes = NEVER): void {
  evil.lies = { hangs: (asked) => (isIt(asked) ? { afterBytes } : null) }
}

/** Resolves when all the awaited bytes of a matching request have arrived. */
function came({ requests }: EvilPortal, isIt: (asked: Asked) => boolean, bytes: number): Promise<void> {
  return until(() => requests.some((one) => isIt(one) && one.body.length >= bytes), 'the request has come')
}

/** From now on lets everything pass. Runs the same command again, to its end, with its receiver online. */
async function sendAgain({ world, evil }: Scene, path: string): Promise<Running> {
  evil.lies = {}
  evil.cut()
  const sending = world.send(path, 'bob', ...FLAGS)
  const { code, stdout, stderr } = await sending.ended
  expect(code, stdout + stderr).toBe(0)
  await expectArrived(world, 'bob', basename(path), path)
  return sending
}

test.each<
  [
    what: string,
    cases: [when: string, isIt: (asked: Asked) => boolean, afterBytes: number][],
    partCount: number,
    portalFlags: string[],
  ]
>([
  [
    'of several parts',
    [
      ['in the middle of the first part', isPart(1), 1000],
      ['in the middle of a later part', isPart(3), 1000],
      ['when a part had left, and the portal had not taken it', isPart(3), PART_BYTES],
      ['when all parts were at the portal', isComplete, 1],
    ],
    PARTS,
    [],
  ],
  [
    'of one request',
    [
      ['in the middle of it', isWhole, 1000],
      ['when it had left, and the portal had not taken it', isWhole, PART_BYTES],
    ],
    1,
    [],
  ],
  [
    'of one part',
    [
      ['in the middle of the part', isPart(1), 1000],
      ['when the part had left, and the portal had not taken it', isPart(1), PART_BYTES],
      ['when the part was at the portal', isComplete, 1],
    ],
    1,
    ['--inline-max', '0'],
  ],
])(
  'a file %s is secretly overwritten after its sender was killed: a new key seals it',
  async (_what, cases, partCount, portalFlags) => {
    await using scene = await sceneWith(['alice', 'bob'], portalFlags)
    const { world, evil } = scene
    await world.receiver('bob')
    for (const [when, isIt, afterBytes] of cases) {
      const path = await fileOf(world, partCount, `killed ${when}`)
      const first = await killedAt(scene, path, isIt, afterBytes)
      await writeOver(path)
      const second = await sendAgain(scene, path)
      expect(transferIdOf(second), when).not.toBe(transferIdOf(first))
      expectOneContent(evil)
    }
    expect(await world.received('bob')).toEqual(cases.map(([when]) => `killed ${when}`).sort())
  },
)

/** Sends a file, and kills the sender when that many bytes of a held request have arrived. */
async function killedAt(
  { world, evil }: Scene,
  path: string,
  isIt: (asked: Asked) => boolean,
  afterBytes: number,
): Promise<Running> {
  hang(evil, isIt, afterBytes)
  const sending = world.send(path, 'bob', ...FLAGS)
  await sending.object(({ phase }) => phase === 'started')
  const transferId = transferIdOf(sending)
  await came(evil, (asked) => asked.path.includes(transferId) && isIt(asked), afterBytes)
  await sending.stop('SIGKILL')
  return sending
}

test('a sender that is killed while the file stays unchanged continues the same transfer with the missing parts', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  const path = await fileOf(world, PARTS)
  const first = await killedAt(scene, path, isPart(4), PART_BYTES)
  const second = await sendAgain(scene, path)
  expect(transferIdOf(second)).toBe(transferIdOf(first))
  expect(second.json.find(({ phase }) => phase === 'started')).toMatchObject({ isResumed: true })
  // The fourth was sent twice, because the portal never processed the first try.
  expect(evil.uploads.map(({ partNumber }) => partNumber)).toEqual([1, 2, 3, 4, 4, 5, 6])
  expectOneContent(evil)
})

/** The state on disk that the sender keeps about its transfers. */
const journalOf = (world: World): string => world.path('state', 'golooader', 'journal')

async function sealRecordOf(world: World): Promise<string> {
  const [name, ...others] = (await readdir(journalOf(world))).filter((one) => one.endsWith('.sealed'))
  expect(others).toEqual([])
  return join(journalOf(world), String(name))
}

/** What a file system may return for lost content. */
async function loseContent(world: World): Promise<void> {
  const path = await sealRecordOf(world)
  const { size } = await stat(path)
  await truncate(path, 0)
  await truncate(path, size)
}

const damages: readonly [what: string, damage: (world: World) => Promise<void>][] = [
  ['is gone', async (world) => rm(await sealRecordOf(world))],
  ['was cut off', async (world) => truncate(await sealRecordOf(world), 70)],
  ['is empty', async (world) => truncate(await sealRecordOf(world), 0)],
  ['lost its content', loseContent],
  [
    'is that of an hour ago, as the whole journal',
    async (world) => {
      await rm(journalOf(world), { recursive: true })
      await cp(world.path('backup'), journalOf(world), { recursive: true })
    },
  ],
]

test('a damaged seal record leads to a new key when the file was overwritten', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  for (const [what, damage] of damages) {
    const path = await fileOf(world, PARTS, what)
    hang(evil, isPart(1))
    const first = world.send(path, 'bob', ...FLAGS, '--answer-timeout', '60s')
    await first.object(({ phase }) => phase === 'started')
    const isFirst = ({ path: at }: Asked): boolean => at.includes(transferIdOf(first))
    await came(evil, (asked) => isFirst(asked) && isPart(1)(asked), 1)
    await rm(world.path('backup'), { recursive: true, force: true })
    await cp(journalOf(world), world.path('backup'), { recursive: true })
    hang(evil, isComplete)
    evil.cut()
    await came(evil, (asked) => isFirst(asked) && isComplete(asked), 1)
    await first.stop('SIGKILL')
    // The first part stays: only it is on the older record.
    await writeOver(path, PART_BYTES)
    await damage(world)
    await sendAgain(scene, path)
    expectOneContent(evil)
  }
})

test('a seal record without content leads to a new key when the portal has nothing', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  const path = await fileOf(world, PARTS)
  await killedAt(scene, path, isPart(1), 1000)
  await writeOver(path)
  await loseContent(world)
  await sendAgain(scene, path)
  expectOneContent(evil)
})

test('a part that the portal asks for again is not sent when the file was secretly overwritten', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  await world.receiver('bob')
  const path = await fileOf(world, PARTS)
  const wanted = [[2, 2]]
  const isOver = Promise.withResolvers<void>()
  evil.lies = {
    answers: ({ method, path: at }) => {
      if (!isComplete({ method, path: at })) return null
      const transferId = at.split('/')[3]
      const problem = { type: 'about:blank', title: 'lost', status: 409, code: 'parts-missing' }
      const about = { eventId: '1', at: new Date().toISOString(), transferId, attempt: 1 }
      return { ...about, notification: 'resend', problem, wanted }
    },
    // It asks for the state of the transfer after `resend`, and gets the answer when the file has changed.
    says: async (said, { method, event }) => {
      if (method !== 'GET' || event !== null || !Array.isArray(said.parts)) return said
      await isOver.promise
      return { ...said, parts: said.parts.filter(({ partNumber }) => partNumber !== 2) }
    },
  }
  const sending = world.send(path, 'bob', ...FLAGS)
  await sending.notification('resend')
  await writeOver(path)
  isOver.resolve()
  expect((await sending.ended).code).toBe(4)
  expect(sending.json.at(-1)).toMatchObject({
    transfers: [{ outcome: 'refused', problem: { code: 'source-changed' } }],
  })
  expectOneContent(evil)
  const second = await sendAgain(scene, path)
  expect(transferIdOf(second)).not.toBe(transferIdOf(sending))
  expectOneContent(evil)
})

test('two runs of one command seal one content with one key, although the file is secretly overwritten between them', async () => {
  await using scene = await sceneWith(['alice', 'bob'])
  const { world, evil } = scene
  const path = await fileOf(world, PARTS)
  hang(evil, isPart(1))
  const flags = [...FLAGS, '--answer-timeout', '60s']
  const first = world.send(path, 'bob', ...flags)
  await came(evil, isPart(1), PART_BYTES)
  const second = world.send(path, 'bob', ...flags)
  await until(
    () => evil.uploads.filter(({ bytes }) => bytes.length > PART_BYTES).length === 2,
    'both send the first part',
  )
  // The second run stops when it knows only the first part, until the first run has sent four.
  second.signal('SIGSTOP')
  hang(evil, isPart(5))
  evil.cut()
  await came(evil, isPart(5), PART_BYTES)
  first.signal('SIGSTOP')
  await writeOver(path)
  evil.lies = {}
  second.signal('SIGCONT')
  await second.notification('stored')
  await second.stop('SIGKILL')
  await first.stop('SIGKILL')
  await world.receiver('bob')
  await sendAgain(scene, path)
  expectOneContent(evil)
})
