/** The programs of `examples/`, each in a process of its own, with a portal in another process. */
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { receiveLink } from '../../src/index.ts'
import { type Running, World } from '../e2e/harness/world.ts'
import { startProgram } from './program.ts'

/** Starts an example as a person with one profile, or without any. */
function example(world: World, name: string, person: string | null, ...args: string[]): Promise<Running> {
  const program = fileURLToPath(new URL(`../../examples/${name}.ts`, import.meta.url))
  return startProgram(world, [program, ...args], person, { node: name.includes('test') ? ['--test'] : [] })
}

async function worldOf(...names: string[]): Promise<World> {
  const world = await World.create()
  await world.portal()
  await world.join(names)
  return world
}

test('send-and-wait and receive-with-decision: a PDF arrives, and another file is refused with the reason', async () => {
  await using world = await worldOf('alice', 'bob')
  const receiving = await example(world, 'receive-with-decision', 'bob', 'inbox')
  await receiving.line((line) => line === 'connected')
  await writeFile(world.path('a.pdf'), 'a pdf')
  await writeFile(world.path('a.txt'), 'no pdf')

  const sent = await (await example(world, 'send-and-wait', 'alice', 'a.pdf', 'bob')).ended
  expect(sent).toMatchObject({ code: 0, stdout: 'stored\ndelivered\na.pdf: delivered\n' })
  expect(await readFile(world.path('inbox/a.pdf'), 'utf8')).toBe('a pdf')
  expect(await receiving.line((line) => line.includes('a.pdf'))).toMatch(/inbox\/a\.pdf: 5 bytes from alice$/)

  const refused = await (await example(world, 'send-and-wait', 'alice', 'a.txt', 'bob')).ended
  expect(refused).toMatchObject({ code: 1, stdout: 'stored\nfailed\na.txt: failed\n' })

  const wrong = await (await example(world, 'send-and-wait', 'alice', 'missing.pdf', 'bob')).ended
  expect(wrong.code).toBe(2)
  expect(wrong.stderr).toMatch(/\(source-unreadable\)/)

  receiving.signal('SIGINT')
  expect((await receiving.ended).code).toBe(0)
})

test('send-by-link prints a link, and says that the file was taken by it', async () => {
  await using world = await World.create()
  await world.portal(['--guests'])
  await world.join(['alice'])
  await writeFile(world.path('a.pdf'), 'a pdf')
  const sending = await example(world, 'send-by-link', 'alice', 'a.pdf')
  const link = await sending.line((line) => line.startsWith('http'))
  const received = await receiveLink(link, world.inbox('guest'))
  expect(received).toMatchObject({
    from: 'alice',
    name: 'a.pdf',
    path: `${world.inbox('guest')}/a.pdf`,
    isSealed: true,
  })
  await expect(receiveLink(link, world.inbox('guest'))).rejects.toMatchObject({
    code: 'link-taken',
    problem: { path: received.path },
  })
  const { code, stdout } = await sending.ended
  expect(stdout).toMatch(/taken: a person with the link signed for a\.pdf, as guest-/)
  expect(code).toBe(0)
})

test('a program asks anybody for files, and another one sends them by the link', async () => {
  await using world = await World.create()
  await world.portal(['--guests'])
  const program = fileURLToPath(new URL('./requesting.ts', import.meta.url))
  await world.join(['alice'])
  await writeFile(world.path('a.pdf'), 'a pdf')
  const { code, stdout, stderr } = await (await startProgram(world, [program, 'a.pdf'], 'alice', { node: [] })).ended
  expect(code, stderr).toBe(0)
  expect(JSON.parse(stdout)).toEqual({
    visit: { owner: 'alice', label: 'tax papers' },
    outcome: 'stored',
    requests: [{ label: 'tax papers', files: 1, isLinkKnown: true }],
    closed: 'closed',
  })
})

test('portal-in-a-test passes as a test of Node', async () => {
  await using world = await World.create()
  const ended = await (await example(world, 'portal-in-a-test', null)).ended
  expect(ended.code, ended.stdout + ended.stderr).toBe(0)
})

test('verify-receipt accepts the received file and rejects another one', async () => {
  await using world = await worldOf('alice', 'bob')
  await world.receiver('bob')
  const path = await world.file('report.bin', 100_000)
  const sending = world.send(path, 'bob')
  const { transferId } = await sending.notification('delivered')
  await sending.ended
  const saved = await world.run('receipt', String(transferId), '--out', 'a.receipt', '--profile', 'alice')
  expect(saved.code, saved.stderr).toBe(0)

  const proven = await (await example(world, 'verify-receipt', null, path, 'a.receipt')).ended
  expect(proven.code, proven.stderr).toBe(0)
  expect(proven.stdout).toMatch(/^bob received exactly this file at /)
  const other = await (await example(world, 'verify-receipt', null, await world.file('b', 100_000), 'a.receipt')).ended
  expect(other).toMatchObject({ code: 1, stderr: 'not proven: the file has other content than was received\n' })
})

test('webhook posts each file that arrives, and retries when the address fails', async () => {
  await using world = await worldOf('alice', 'bob')
  const bodies: string[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const bytes of request) body += bytes
    bodies.push(body)
    response.writeHead(bodies.length === 1 ? 500 : 204).end()
  })
  onTestFinished(() => void server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo

  const hooked = await example(world, 'webhook', 'bob', 'inbox', `http://127.0.0.1:${port}/`)
  const sending = world.send(await world.file('a.bin', 1_000), 'bob')
  const { transferId } = await sending.notification('delivered')
  await hooked.line((line) => line === `posted ${transferId}`)
  expect(bodies).toHaveLength(2)
  expect(JSON.parse(bodies[1] ?? '')).toMatchObject({ transferId, from: 'alice', sizeBytes: 1_000 })
})
