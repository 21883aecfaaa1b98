/** Anybody with the link of a request sends files to the account that made it. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Fault, Seen } from '../harness/proxy.ts'
import { sha256Of, until } from '../harness/world.ts'
import { LinkWorld } from './scene.ts'

const MIB = 1024 * 1024

/** Makes a request of alice's. */
async function request(scene: LinkWorld, ...args: string[]): Promise<{ link: string; requestId: string }> {
  const made = await scene.world.run('request', '--from-anybody', '--json', '--profile', 'alice', ...args)
  expect(made.code, made.stderr).toBe(0)
  return JSON.parse(made.stdout)
}

test('a person without an account sends files, and gets both notifications; the receiver sees what they are for', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const { link } = await request(scene, '--label', 'tax papers')
  const path = await world.file('report.bin', 3 * MIB)
  const sending = scene.sendTo(link, path)
  await sending.notification('stored')
  const receiving = world.start(['receive', '--into', world.inbox('alice'), '--create', '--profile', 'alice'])
  await receiving.line((line) =>
    line.includes("report.bin from a guest of your request 'tax papers', signed: received"),
  )
  expect((await sending.ended).code).toBe(0)
  expect(sending.json.filter(({ type }) => type === 'notification').map(({ notification }) => notification)).toEqual([
    'stored',
    'delivered',
  ])
  expect(await sha256Of(`${world.inbox('alice')}/report.bin`)).toBe(await sha256Of(path))
  expect(existsSync(world.path('visitor', 'golooader', 'receipts'))).toBe(true)

  await writeFile(world.path('b.txt'), 'b')
  const second = await world.start(['send', 'b.txt', '--to', link]).ended
  expect(second.code, second.stderr).toBe(0)
  expect(second.stdout).toMatch(/^alice asks for files: tax papers\n/)
  const list = await world.run('request', '--profile', 'alice')
  expect(list.stdout).toMatch(new RegExp(`open until .*2 of 100 files, 3\\.0 MiB {2}tax papers\\n {2}${link}`))
  const shown = await world.run('status', '--received', '--profile', 'alice')
  expect(shown.stdout).toContain("b.txt from a guest of your request 'tax papers': delivered")
  const elsewhere = await world.run('status', '--received', '--json', '--profile', 'alice')
  expect(JSON.parse(elsewhere.stdout.split('\n', 1)[0] ?? '')).toMatchObject({ request: { label: 'tax papers' } })
})

test('a person without an account is not sent to commands that need one', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const { link } = await request(scene)
  const sent = await world.start(['send', 'a.txt', '--to', link, '--no-wait']).ended
  expect(sent.stdout).toContain('Only a command that waits learns the result. Next time leave --no-wait out.')
  const waited = await world.start(['send', 'a.txt', '--to', link, '--wait', '1s']).ended
  expect(waited.stdout).toMatch(/not yet taken by alice\.\n {2}The portal keeps trying\.\n/)
  expect(sent.stdout + waited.stdout).not.toContain('golooader status')
})

test('a link to receive by is not one to send by, and send says what it is for', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const made = await world.run('send', 'a.txt', '--link', '--no-wait', '--profile', 'alice')
  const { code, stderr } = await world.run('send', 'a.txt', '--to', made.stdout.trim())
  expect(code).toBe(2)
  expect(stderr).toContain('golooader receive LINK --into DIR')
})

test('a closed request takes no more, and delivers what it has', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const { link, requestId } = await request(scene)
  const first = scene.sendTo(link, 'a.txt')
  await first.notification('stored')
  const closed = await world.run('request', 'close', requestId, '--profile', 'alice')
  expect(closed.stdout).toMatch(/closed: its link takes no more files\. It took 1/)
  // The visitor of the open file continues, and learns its end.
  await first.stop('SIGKILL')
  const again = scene.sendTo(link, 'a.txt')
  await world.receiver('alice')
  expect((await again.ended).code).toBe(0)
  expect(await world.received('alice')).toEqual(['a.txt'])
  await writeFile(world.path('b.txt'), 'b')
  const late = scene.sendTo(link, 'b.txt')
  expect((await late.ended).code).toBe(4)
  expect(late.json.at(-1)).toMatchObject({ transfers: [{ outcome: 'refused', problem: { code: 'request-closed' } }] })
  const stranger = await world.run('send', 'b.txt', '--to', link)
  expect(stranger.stderr).toMatch(/link-invalid/)
  expect(stranger.code).toBe(4)
})

test('a request takes as many files and bytes as it says', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const { link } = await request(scene, '--files', '1', '--bytes', '1KiB')
  const large = scene.sendTo(link, await world.file('large.bin', 2048))
  expect((await large.ended).code).toBe(4)
  expect(large.json.at(-1)).toMatchObject({ transfers: [{ problem: { code: 'request-full' } }] })
  expect((await scene.sendTo(link, await world.file('small.bin', 10), '--no-wait').ended).code).toBe(0)
  expect((await scene.sendTo(link, await world.file('more.bin', 10), '--no-wait').ended).code).toBe(4)
})

const isJoin = ({ path }: Seen): boolean => path === '/v1/requests/join'
const isComplete = ({ path }: Seen): boolean => path.endsWith('/complete')
/** The portal gets the first request and its answer is lost. The repetition hangs. */
const lost = ({ count }: Seen): Fault => (count === 1 ? { loseAnswer: true } : { hang: true })

test.each([
  ['while it becomes a guest', isJoin],
  ['when the portal has stored the file', isComplete],
])('a visitor is killed %s: the same command continues, and the file arrives once', async (_step, isStep) => {
  await using scene = await LinkWorld.create()
  const { world, network } = scene
  const { link } = await request(scene)
  const path = await world.file('report.bin', 3 * MIB)
  network.rule = (seen) => (isStep(seen) ? lost(seen) : null)
  const killed = scene.sendTo(link, path, '--part-size', '1MiB')
  await until(() => network.seen.filter(isStep).length >= 2, 'the step is reached')
  expect((await killed.stop('SIGKILL')).code).toBe(137)
  network.rule = () => null
  network.cutHanging()
  const again = scene.sendTo(link, path, '--part-size', '1MiB')
  await again.notification('stored')
  await world.receiver('alice')
  expect((await again.ended).code).toBe(0)
  expect(await world.received('alice')).toEqual(['report.bin'])
  const alice = await world.client('alice')
  const { requests } = await alice.guests.requests()
  expect(requests).toMatchObject([{ guests: 1, files: 1 }])
})
