/** A file is received by a link: exactly once, by as many people as the link is for. */
import { existsSync } from 'node:fs'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Fault, Seen } from '../harness/proxy.ts'
import { filesIn, sha256Of, until } from '../harness/world.ts'
import { LinkWorld, linkIn } from './scene.ts'

const MIB = 1024 * 1024

test('nothing but the folder stays of a receiver; a second call says that the file is there already', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const { link } = await scene.link('a.txt')
  const home = world.path('home')
  const receiving = scene.receive(link, 'guest', [], { HOME: home })
  expect((await receiving.ended).code).toBe(0)
  expect(existsSync(home)).toBe(false)
  expect((await readdir(world.inbox('guest'))).sort()).toEqual(['.golooader', 'a.txt'])
  for (const name of await filesIn(world.inbox('guest'))) expect(name).not.toMatch(/glt_|glk_/)

  const again = scene.receive(link, 'guest')
  expect((await again.ended).code).toBe(0)
  expect(again.json).toEqual([
    { type: 'received-before', path: `${world.inbox('guest')}/a.txt`, takenAt: expect.any(String) },
  ])
  const other = await scene.receive(link, 'other').ended
  expect(other.stderr).toMatch(/received already \(link-taken\)\nThat was at \d{4}-.*If it was not you, tell its maker/)
  expect(other.code).toBe(4)
})

const isInbox = ({ method, path }: Seen): boolean => method === 'GET' && path === '/v1/inbox'
const isPart = ({ path }: Seen): boolean => /^\/v1\/inbox\/[^/]+\/parts\/2$/.test(path)
const isAnswer = ({ path }: Seen): boolean => path.startsWith('/v1/inbox') && /disposition/.test(path)
const hang = (): Fault => ({ hang: true })
/** The portal gets the first request and its answer is lost. The repetition hangs. */
const lost = ({ count }: Seen): Fault => (count === 1 ? { loseAnswer: true } : { hang: true })

test.each<[step: string, isStep: (seen: Seen) => boolean, fault: (seen: Seen) => Fault, requests: number]>([
  ['before it has an offer', isInbox, hang, 1],
  ['between two parts', isPart, hang, 1],
  ['before the portal has its answer', isAnswer, hang, 1],
  ['when the portal has its answer, and it does not know', isAnswer, lost, 2],
])(
  'a receiver is killed %s: the same command continues, exactly once, as the same guest',
  async (_step, isStep, fault, requests) => {
    await using scene = await LinkWorld.create()
    const { world, network } = scene
    const path = await world.file('report.bin', 3 * MIB)
    const { link, transferId } = await scene.link(path, '--part-size', '1MiB', '--takes', '2')
    network.rule = (seen) => (isStep(seen) ? fault(seen) : null)
    const killed = scene.receive(link, 'guest')
    await until(() => network.seen.filter(isStep).length >= requests, 'the step is reached')
    expect((await killed.stop('SIGKILL')).code).toBe(137)
    network.rule = () => null
    network.cutHanging()

    const again = await scene.receive(link, 'guest').ended
    expect(again.code, again.stderr).toBe(0)
    expect(await world.received('guest')).toEqual(['report.bin'])
    expect(await sha256Of(`${world.inbox('guest')}/report.bin`)).toBe(await sha256Of(path))
    expect(await scene.states(transferId)).toEqual(['delivered', 'waiting'])
  },
)

test('a link for three is taken by three at once, each with a receipt; a fourth is told', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const path = await world.file('report.bin', 3 * MIB)
  const sending = scene.sendLink(path, '--takes', '3')
  const { link, transferId } = await linkIn(sending)
  const names = ['one', 'two', 'three']
  const ends = await Promise.all(names.map((name) => scene.receive(link, name).ended))
  for (const { code, stderr } of ends) expect(code, stderr).toBe(0)
  for (const name of names) expect(await world.received(name)).toEqual(['report.bin'])
  expect((await sending.ended).code).toBe(0)
  const receipts = await world.run('receipt', transferId, '--json', '--profile', 'alice')
  const receivers = receipts.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).receiver)
  expect(new Set(receivers).size).toBe(3)
  const fourth = await scene.receive(link, 'four').ended
  expect(fourth.stderr).toMatch(/link-taken/)
  expect(fourth.code).toBe(4)
})

test('a receiver that finds the only guest taken by another one waits, and is told when the file is taken', async () => {
  await using scene = await LinkWorld.create()
  const { world, network } = scene
  const path = await world.file('report.bin', 3 * MIB)
  const { link } = await scene.link(path, '--part-size', '1MiB')
  const held = Promise.withResolvers<void>()
  network.rule = (seen) => (isPart(seen) ? { heldUntil: held.promise } : null)
  const first = scene.receive(link, 'one')
  await until(() => network.seen.some(isPart), 'the first receiver has the offer')
  const second = scene.receive(link, 'two')
  await second.object(({ type }) => type === 'connected')
  held.resolve()
  expect((await first.ended).code).toBe(0)
  const { code, stderr } = await second.ended
  expect(stderr).toMatch(/link-taken/)
  expect(code).toBe(4)
})

test('a passphrase is needed besides the link; a wrong one opens nothing', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  await writeFile(world.path('right'), 'correct horse\n')
  await writeFile(world.path('wrong'), 'battery staple\n')
  const { link, transferId } = await scene.link('a.txt', '--passphrase-file', 'right')
  expect(link).toContain('/g#glgp_')
  const wrong = await scene.receive(link, 'guest', ['--passphrase-file', 'wrong']).ended
  expect(wrong.stderr).toMatch(/link-invalid\)\nIs it complete, and is the passphrase right\?/)
  expect(wrong.code).toBe(4)
  expect(await scene.states(transferId)).toEqual(['waiting'])
  expect((await scene.receive(link, 'guest', [], { GOLOOADER_PASSPHRASE: 'correct horse' }).ended).code).toBe(0)
  expect(await world.received('guest')).toEqual(['a.txt'])
})

test('the same command with another passphrase does not make a second link', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  await writeFile(world.path('right'), 'correct horse\n')
  await writeFile(world.path('wrong'), 'battery staple\n')
  const sending = scene.sendLink('a.txt', '--passphrase-file', 'right')
  const { link } = await linkIn(sending)
  await sending.stop('SIGKILL')
  const other = await scene.sendLink('a.txt', '--passphrase-file', 'wrong').ended
  expect(other.stderr).toMatch(/begun a link with another passphrase/)
  expect(other.code).toBe(2)
  const again = scene.sendLink('a.txt', '--passphrase-file', 'right')
  expect((await linkIn(again)).link).toBe(link)
})

test('a sender cancels while a receiver waits: the receiver ends, and says why', async () => {
  await using scene = await LinkWorld.create()
  const { world, network } = scene
  const path = await world.file('report.bin', 3 * MIB)
  const { link, transferId } = await scene.link(path, '--part-size', '1MiB')
  network.rule = (seen) => (isPart(seen) ? { hang: true } : null)
  const receiving = scene.receive(link, 'guest')
  await until(() => network.seen.some(isPart), 'a part is fetched')
  const alice = await world.client('alice')
  await alice.cancel(transferId)
  network.rule = () => null
  network.cutHanging()
  expect((await receiving.ended).code).toBe(3)
  expect(receiving.json.at(-1)).toMatchObject({ type: 'withdrawn', problem: { code: 'cancelled' } })
  expect(await world.received('guest')).toEqual([])
})

test('the file of a link goes to standard output', async () => {
  await using scene = await LinkWorld.create()
  await writeFile(scene.world.path('a.txt'), 'content')
  const { link } = await scene.link('a.txt')
  const { code, stdout, stderr } = await scene.world.run('receive', link, '--to-stdout')
  expect(code, stderr).toBe(0)
  expect(stdout).toBe('content\n')
})

test('a folder is received by a link', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await world.file('one.txt', 10)
  await world.file('two.txt', 20)
  const { link } = await scene.link(world.path('files'))
  expect((await scene.receive(link, 'guest').ended).code).toBe(0)
  expect(await readFile(`${world.inbox('guest')}/files/one.txt`)).toEqual(
    await readFile(world.path('files', 'one.txt')),
  )
})

test.each([
  ['http://127.0.0.1:9/r#glr_', /not a link to receive by/],
  [`http://127.0.0.1:9/r#glr_${'A'.repeat(43)}.${'a'.repeat(24)}`, /by this link files are sent: golooader send FILE/],
  [`http://127.0.0.1:9/join#gli_${'A'.repeat(43)}`, /this link is an invite: golooader join LINK/],
])('receive %s: wrong usage', async (link, message) => {
  await using scene = await LinkWorld.create()
  const { code, stderr } = await scene.receive(link, 'guest').ended
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})
