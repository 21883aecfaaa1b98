/** A link is made, and its sender is told how the file fares. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import type { Fault, Seen } from '../harness/proxy.ts'
import { sha256Of, until, World } from '../harness/world.ts'
import { LinkWorld, linkIn, secretOf } from './scene.ts'

const MIB = 1024 * 1024

test('a person without an account receives by a link, and the sender gets both notifications and a receipt', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const path = await world.file('report.bin', 3 * MIB)
  const sending = scene.sendLink(path)
  const { link, transferId } = await linkIn(sending)
  const receiving = scene.receive(link, 'guest')
  const { code, stderr } = await receiving.ended
  expect(code, stderr).toBe(0)
  expect(await world.received('guest')).toEqual(['report.bin'])
  expect(await sha256Of(`${world.inbox('guest')}/report.bin`)).toBe(await sha256Of(path))

  expect((await sending.ended).code).toBe(0)
  const [summary] = sending.json.filter(({ type }) => type === 'summary')
  expect(summary).toMatchObject({ transfers: [{ transferId, outcome: 'delivered', link }] })
  const receipt = await world.run('receipt', transferId, '--out', world.path('a.receipt'), '--profile', 'alice')
  expect(receipt.stdout).toMatch(/received {2}by guest-[a-z2-7]{24}, a person with the link/)
  const proof = await world.run('verify', path, '--receipt', world.path('a.receipt'))
  expect(proof.stdout).toMatch(/proven: a person with the link \(guest-[a-z2-7]{24}\) received exactly this file/)
})

test('standard output has the link alone; status shows it again until the file is taken', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const sent = await world.run('send', 'a.txt', '--link', '--no-wait', '--profile', 'alice')
  expect(sent.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/g#glg_[\w-]{43}\.[a-z2-7]{24}\n$/)
  expect(sent.stderr).toMatch(/a\.txt: stored at the portal in .*, waiting for a person with the link/)
  expect(sent.stderr).toMatch(/This link works once, until/)
  const link = sent.stdout.trim()
  const [{ transferId }] = JSON.parse(`[${(await world.run('status', '--json', '--profile', 'alice')).stdout}]`)
  const shown = () => world.run('status', transferId, '--profile', 'alice')
  expect((await shown()).stdout).toContain(`link: ${link}\n`)
  expect((await shown()).stdout).toMatch(/to a link \(guest-[a-z2-7]{24}\): waiting for it to come/)
  expect((await world.run('status', '--profile', 'alice')).stdout).toContain('a.txt to a person with the link: stored')
  expect((await scene.receive(link, 'guest').ended).code).toBe(0)
  expect((await shown()).stdout).toMatch(/to a link \(guest-[a-z2-7]{24}\): delivered/)
  expect((await shown()).stdout).not.toContain(link)
})

test('a file goes to an account and by a link at once; Ctrl-C leaves the link working', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await world.join(['bob'])
  await world.receiver('bob')
  await writeFile(world.path('a.txt'), 'a')
  const sending = world.start(['send', 'a.txt', '--link', '--to', 'bob', '--profile', 'alice'])
  const link = await sending.line((line) => line.startsWith('http'))
  await until(() => sending.stderr.includes('delivered to bob'), 'bob has it')
  const { code, stderr } = await sending.stop('SIGINT')
  expect(code).toBe(130)
  expect(stderr).toMatch(
    /The link keeps working\. See it again: golooader status [0-9a-f-]{36}; end it: golooader cancel/,
  )
  expect((await scene.receive(link, 'guest').ended).code).toBe(0)
})

const isPost = ({ method, path }: Seen, end: string): boolean => method === 'POST' && path.endsWith(end)
const isAnnouncement = ({ method, path }: Seen): boolean => method === 'PUT' && /^\/v1\/transfers\/[^/]+$/.test(path)
/** The portal gets the first request and its answer is lost. The repetition hangs. */
const lost = ({ count }: Seen): Fault => (count === 1 ? { loseAnswer: true } : { hang: true })

test.each<[step: string, isStep: (seen: Seen) => boolean, fault: (seen: Seen) => Fault, requests: number]>([
  [
    'the link is made, and the portal has not heard of it',
    (seen) => isPost(seen, '/v1/guests'),
    () => ({ hang: true }),
    1,
  ],
  ['the portal has made the guests', (seen) => isPost(seen, '/v1/guests'), lost, 2],
  ['the transfer is not announced', isAnnouncement, () => ({ hang: true }), 1],
  ['the portal has stored the file, and the sender does not know', (seen) => isPost(seen, '/complete'), lost, 2],
])('a sender is killed when %s: the same command makes the same link', async (_step, isStep, fault, requests) => {
  await using scene = await LinkWorld.create()
  const { world, network } = scene
  const path = await world.file('report.bin', 3 * MIB)
  const args = ['--part-size', '1MiB', '--takes', '2'] as const
  network.rule = (seen) => (isStep(seen) ? fault(seen) : null)
  const killed = scene.sendLink(path, ...args)
  await until(() => network.seen.filter(isStep).length >= requests, 'the step is reached')
  expect((await killed.stop('SIGKILL')).code).toBe(137)
  const [secret, ...others] = await scene.secrets()
  expect(others).toEqual([])
  network.rule = () => null
  network.cutHanging()

  const again = scene.sendLink(path, ...args)
  const { link, transferId } = await linkIn(again)
  expect(secretOf(link)).toBe(secret)
  expect((await scene.receive(link, 'one').ended).code).toBe(0)
  expect((await scene.receive(link, 'two').ended).code).toBe(0)
  expect((await again.ended).code).toBe(0)
  const alice = await world.client('alice')
  expect((await alice.transfers()).transfers.map((one) => one.transferId)).toEqual([transferId])
})

test('a sender is killed while it waits: the same command shows the same link, and a new version of the file gets another one', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  const path = world.path('a.txt')
  await writeFile(path, 'first')
  const killed = scene.sendLink(path)
  const first = await linkIn(killed)
  await killed.stop('SIGKILL')
  const again = scene.sendLink(path)
  expect(await linkIn(again)).toEqual(first)
  await again.stop('SIGKILL')
  await writeFile(path, 'second version')
  const other = scene.sendLink(path)
  const second = await linkIn(other)
  expect(second.link).not.toBe(first.link)
  for (const [name, { link }, content] of [
    ['one', first, 'first'],
    ['two', second, 'second version'],
  ] as const) {
    expect((await scene.receive(link, name).ended).code).toBe(0)
    expect(await readFile(`${world.inbox(name)}/a.txt`, 'utf8')).toBe(content)
  }
  expect((await other.ended).code).toBe(0)
})

test('a passphrase is asked for on the terminal, twice, and is not shown', async () => {
  await using scene = await LinkWorld.create()
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const terminal = ['sh', '-c', `COMMAND="$0 $*" exec script -qec 'exec $COMMAND' /dev/null`]
  const type = async (...answers: string[]) => {
    const args = ['send', 'a.txt', '--link', '--no-wait', '--passphrase', '--profile', 'alice']
    const sending = world.start(args, { wrapper: terminal, hasInput: true })
    let shown = ''
    sending.child.stdout?.on('data', (bytes) => {
      shown += bytes
    })
    for (const [index, answer] of answers.entries()) {
      const question = ['passphrase of the link: ', 'the same again: '][index] ?? ''
      await until(() => shown.includes(question), question)
      sending.child.stdin?.write(answer)
    }
    const { code } = await sending.ended
    return { code, shown }
  }
  // Two letters are taken back.
  const right = await type('correct horsexy\x7f\x7f\r', 'correct horse\r')
  expect(right.code, right.shown).toBe(0)
  expect(right.shown).not.toContain('correct')
  const link = /http\S+/.exec(right.shown)?.[0] ?? ''
  expect(link).toContain('#glgp_')
  const received = await scene.receive(link, 'guest', [], { GOLOOADER_PASSPHRASE: 'correct horse' }).ended
  expect(received.code, received.stderr).toBe(0)
  const differing = await type('one\r', 'other\r')
  expect(differing.shown).toContain('the two passphrases differ')
  expect(differing.code).toBe(2)
  expect((await type('one\x03')).code).toBe(130)
})

test('once its end is known, the same command makes another link', async () => {
  await using scene = await LinkWorld.create()
  await writeFile(scene.world.path('a.txt'), 'a')
  const [one, two] = [await scene.link('a.txt'), await scene.link('a.txt')]
  expect(one.link).not.toBe(two.link)
  for (const { link } of [one, two]) expect((await scene.receive(link, 'guest').ended).code).toBe(0)
  expect(await scene.world.received('guest')).toEqual(['a (1).txt', 'a.txt'])
})

test('a link has an end: after it, the sender is told that nobody took the file', async () => {
  await using scene = await LinkWorld.create()
  await writeFile(scene.world.path('a.txt'), 'a')
  const sending = scene.sendLink('a.txt', '--expiry', '2s')
  const { link } = await linkIn(sending)
  const { code } = await sending.ended
  expect(code).toBe(3)
  expect(await sending.notification('failed')).toMatchObject({ problem: { code: 'link-expired' } })
  const late = await scene.receive(link, 'guest').ended
  expect(late.code).toBe(4)
  expect(late.stderr).toMatch(/link-invalid\)\n.*Ask its maker for a new one/)
})

test('cancel ends a link', async () => {
  await using scene = await LinkWorld.create()
  await writeFile(scene.world.path('a.txt'), 'a')
  const { link, transferId } = await scene.link('a.txt')
  expect((await scene.world.run('cancel', transferId, '--profile', 'alice')).code).toBe(0)
  const { code, stderr } = await scene.receive(link, 'guest').ended
  expect(stderr).toMatch(/its maker has probably cancelled it \(link-invalid\)\nAsk its maker/)
  expect(code).toBe(4)
})

test('a portal that allows no links says so, and what its operator does', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  await writeFile(world.path('a.txt'), 'a')
  for (const args of [
    ['send', 'a.txt', '--link'],
    ['request', '--from-anybody'],
  ]) {
    const { code, stderr } = await world.run(...args, '--profile', 'alice')
    expect(stderr).toMatch(/makes no links for people without an account \(guests-off\)\n.*golooader portal --guests/)
    expect(code).toBe(4)
  }
  const alice = await world.client('alice')
  expect((await alice.transfers()).transfers).toEqual([])
})

test('limits of the portal are told with what to do: how long a link works, and how many there are', async () => {
  await using scene = await LinkWorld.create('--guest-expiry', '1h', '--account-guests', '2')
  const { world } = scene
  await writeFile(world.path('a.txt'), 'a')
  const long = await scene.sendLink('a.txt', '--expiry', '2h').ended
  expect(long.stderr).toMatch(/this portal lets links work for 1 hour at most/)
  expect(long.code).toBe(2)
  const many = await scene.sendLink('a.txt', '--takes', '3').ended
  expect(many.stderr).toMatch(/too-many-guests\)\nLinks that are open count until they expire/)
  expect(many.code).toBe(4)
})

test.each<[args: string[], message: RegExp]>([
  [['a.txt'], /say who receives it: --to NAME; or print a link.*--link/],
  [
    ['a.txt', 'b.txt', '--link'],
    /a link is for one file or folder: several become one folder with a name, by --as NAME/,
  ],
  [['a.txt', '--link', '--plain'], /always sealed/],
  [['a.txt', '--to', 'bob', '--takes', '2'], /are for links: add --link/],
  [['a.txt', '--link', '--takes', '33'], /from 1 to 32 times/],
  [['a.txt', '--link', '--passphrase-file', 'none'], /the passphrase cannot be read/],
  [['a.txt', '--link', '--passphrase'], /there is no terminal to ask for the passphrase: give it by --passphrase-file/],
  [['a.txt', '--to', 'https://a.example/r#glr_', '--link'], /leave the other receivers and --link out/],
  [['a.txt', '--to', 'https://a.example/r#glr_'], /not the link of a request for files/],
])('send %j: wrong usage', async (args, message) => {
  await using world = await World.create()
  await writeFile(world.path('a.txt'), 'a')
  await writeFile(world.path('b.txt'), 'b')
  await world.portal(['--guests'])
  await world.join(['alice'])
  // Without a terminal of its own, as in a service.
  const { code, stderr } = await world.start(['send', ...args, '--profile', 'alice'], { wrapper: ['setsid', '-w'] })
    .ended
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})
