/** A file that curl sends is delivered like any other, and curl gets both notifications. */
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256Of, until, World } from '../harness/world.ts'
import { curl, handWorld, MIB, outcome } from './curl.ts'

test('a file of several parts is stored and delivered, and curl gets a line for each', async () => {
  const { world, send } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('report.pdf', 20 * MIB)
  const { status, lines } = await outcome(send(path, 'bob/report.pdf'))
  expect(status).toBe(200)
  expect(lines).toEqual([
    expect.stringMatching(/^stored [0-9a-f-]{36} report\.pdf, 20\.0 MiB, waiting for bob$/),
    'delivered bob',
  ])
  await bob.object((line) => line.type === 'received')
  expect(await sha256Of(join(world.inbox('bob'), 'report.pdf'))).toBe(await sha256Of(path))
})

test('an account that is created by hand, as docs/curl.md says, can send', async () => {
  const world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const invited = await world.run('invite', 'alice', '--data', world.dataFolder)
  const link = /http\S+/.exec(invited.stdout)?.[0] ?? ''
  const page = await readFile(new URL('../../../docs/curl.md', import.meta.url), 'utf8')
  const [, section = ''] = /^# curl[\s\S]*?```sh\n([\s\S]*?)```/.exec(page) ?? []
  expect(section).toContain('/v1/join')
  const [, continuing = ''] = /^## Uploads that continue[\s\S]*?```sh\n([\s\S]*?)```/m.exec(page) ?? []
  await world.file('report.pdf', 3 * MIB)
  // The first megabyte is there already when the page's last lines ask where the upload is.
  const begun = `head -c 1000000 report.pdf | curl -sS -X PATCH -T - "$U" -H @auth -H 'Upload-Offset: 0' \\
    -H 'Upload-Complete: ?0' -H 'Content-Type: application/partial-upload'`
  const again = continuing.replace(/^(?=O=)/m, () => `${begun}\n`).concat('\necho "continued at $O"')
  const script = `${section}\n${again}`
    .replace('https://files.example', world.portalUrl)
    .replace('gli_…', link.split('#')[1] ?? '')
    .replace(/curl -T report\.pdf/g, 'curl -sS -N -T report.pdf')
  await world.receiver('bob')
  const shell = world.start(['-e', ''], { wrapper: ['sh', '-ec', `cd files\n${script}`, '--'] })
  const { code, stdout, stderr } = await shell.ended
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/\{"account":"alice"\}\n?stored \S+ report\.pdf, 3\.0 MiB, waiting for bob\ndelivered bob\n/)
  expect(stdout).toMatch(/\nstored \S+ report\.pdf, 3\.0 MiB, waiting for bob\ndelivered bob\ncontinued at 1000000\n$/)
})

test('curl gets a line for each of several receivers, with the reason where one refuses', async () => {
  const { world, send } = await handWorld([], ['bob', 'carol'])
  await world.receiver('bob')
  await world.receiver('carol', ['--from', 'bob'])
  const path = await world.file('report.pdf', 2 * MIB)
  const { lines } = await outcome(send(path, 'bob,carol/report.pdf'))
  expect(lines.slice(1).sort()).toEqual([
    'delivered bob',
    expect.stringMatching(/^failed carol: sender-not-accepted: The receiver does not accept files from this sender/),
  ])
  expect(await world.received('bob')).toEqual(['report.pdf'])
  expect(await world.received('carol')).toEqual([])
})

test('an online receiver has most of a file before its upload ends', async () => {
  const { world, send } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('report.pdf', 40 * MIB)
  const sending = send(path, 'bob/report.pdf', '--limit-rate', '8M')
  await bob.object((line) => line.type === 'fetching' && Number(line.heldBytes) >= 16 * MIB)
  const [transfer] = (await (await world.client('alice')).transfers()).transfers
  expect(transfer?.state).toBe('receiving')
  expect(sending.lines).toEqual([])
  expect((await outcome(sending)).lines[1]).toBe('delivered bob')
})

test('a pipe of unknown length is delivered', async () => {
  const { world, send } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('dump.sql', 20 * MIB + 1)
  const sending = send('-', 'bob/dump.sql')
  if (sending.child.stdin !== null) createReadStream(path).pipe(sending.child.stdin)
  expect((await outcome(sending)).lines).toEqual([
    expect.stringMatching(/^stored .*dump\.sql, 20\.0 MiB/),
    'delivered bob',
  ])
  expect(await sha256Of(join(world.inbox('bob'), 'dump.sql'))).toBe(await sha256Of(path))
})

test('an empty file is delivered, with known or unknown length', async () => {
  const { world, send } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('empty', 0)
  expect((await outcome(send(path, 'bob/empty'))).lines[1]).toBe('delivered bob')
  const piped = send('-', 'bob/piped')
  piped.child.stdin?.end()
  expect((await outcome(piped)).lines[1]).toBe('delivered bob')
  for (const name of ['empty', 'piped']) expect((await stat(join(world.inbox('bob'), name))).size).toBe(0)
})

test('curl names the file when the address ends with the receiver', async () => {
  const { world, send } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('a b%ä.txt', 10)
  expect((await outcome(send(path, 'bob/'))).status).toBe(200)
  expect(await world.received('bob')).toEqual(['a b%ä.txt'])
})

test('programs get each notification as a JSON object on a line', async () => {
  const { world, send } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('report.pdf', 100)
  const sending = send(path, 'bob/report.pdf', '--header', 'Accept: application/jsonl')
  const objects = (await outcome(sending)).lines.map((line) => JSON.parse(line))
  const { notifications } = await (await world.client('alice')).transfer(objects[0].transferId)
  expect(objects).toEqual(notifications)
  expect(objects.map(({ notification }) => notification)).toEqual(['stored', 'delivered'])
})

test('a hostile name reaches neither the terminal of the sender nor a place outside of the folder', async () => {
  const { world, send } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('report.pdf', 10)
  const sending = send(path, 'bob/..%2f..%2f%1b%5b31m%0aevil')
  const { lines } = await outcome(sending)
  expect(lines).toEqual([
    expect.stringMatching(/^stored \S+ \.\.\/\.\.\/\\u001b\[31m\\u000aevil, 10 B/),
    expect.any(String),
  ])
  await bob.object((line) => line.type === 'received' || line.type === 'refused')
  for (const name of await world.received('bob')) expect(name).not.toMatch(/[/\p{C}]/u)
})

test('with wait=0 curl returns once the file is stored, and is told where to ask', async () => {
  const { world, send } = await handWorld()
  const path = await world.file('report.pdf', 3 * MIB)
  const { lines } = await outcome(send(path, 'bob/report.pdf', '--header', 'Prefer: wait=0'))
  expect(lines[1]).toMatch(/^waiting for bob; ask later: GET \/v1\/transfers\/[0-9a-f-]{36}\/events$/)
  const events = /GET (\S+)$/.exec(lines[1] ?? '')?.[1]
  await world.receiver('bob')
  const authorization = `Authorization: Bearer ${await world.token('alice')}`
  await until(async () => {
    const asking = curl('--header', authorization, `${world.portalUrl}${events}`)
    await asking.ended
    return /"notification":"delivered"/.test(asking.lines.join('\n'))
  }, 'it says delivered there')
})

test('64 MiB of known and of unknown length need little memory of the portal', async () => {
  const { world, portal, send } = await handWorld()
  await world.receiver('bob')
  const path = await world.file('large.bin', 64 * MIB)
  for (const name of ['first', 'second', 'third']) {
    expect((await outcome(send(path, `bob/${name}`))).lines[1]).toBe('delivered bob')
    const piped = send('-', `bob/${name}-piped`)
    if (piped.child.stdin !== null) createReadStream(path).pipe(piped.child.stdin)
    expect((await outcome(piped)).lines[1]).toBe('delivered bob')
  }
  const status = await readFile(`/proc/${portal.child.pid}/status`, 'utf8')
  const peakBytes = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  expect(peakBytes).toBeLessThan(400e6)
})
