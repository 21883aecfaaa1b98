// @tier fast
/** A folder is one delivery. It survives what a file survives, because any part of its tar can be made again. */
import { execFileSync } from 'node:child_process'
import { lstatSync, readdirSync, readFileSync } from 'node:fs'
import { appendFile, chmod, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { settableTimeNs } from '../../../src/tree/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'
import { gate, kindsOf, MIB, notificationsOf, partOf, partsSent, startOf } from './requests.ts'

const PARTS = ['--part-size', '1MiB', '--answer-timeout', '30s'] as const

/** A folder of files, large and small, of more than five parts of one MiB. */
async function makeFolder(world: World, name: string): Promise<string> {
  const folder = world.path('files', name)
  await mkdir(join(folder, 'sub/empty'), { recursive: true })
  await world.file(`${name}/sub/film.bin`, 3 * MIB + 1)
  for (let number = 0; number < 400; number++) await world.file(`${name}/sub/${number}.txt`, 5000)
  await writeFile(join(folder, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 })
  await symlink('sub/film.bin', join(folder, 'link'))
  return folder
}

/** Where the folder has arrived at a receiver. */
function arrived(world: World, receiver: string, name: string): string {
  return join(world.inbox(receiver), name)
}

/** Contents, links, modes, and times as exactly as programs can set them. */
function requireSame(one: string, other: string): void {
  execFileSync('diff', ['-r', '--no-dereference', one, other])
  for (const path of ['', ...readdirSync(one, { recursive: true, encoding: 'utf8' })]) {
    const [sent, received] = [one, other].map((folder) => lstatSync(join(folder, path), { bigint: true }))
    expect(received?.mtimeNs, path).toBe(settableTimeNs(sent?.mtimeNs ?? 0n))
    expect(received?.mode, path).toBe(sent?.mode)
  }
}

describe('in one world', () => {
  let world: World
  let network: FaultyNetwork
  beforeAll(async () => {
    world = await World.create({ isShared: true })
    network = await FaultyNetwork.open(() => world.portalUrl)
    await world.portal()
    await world.join(['alice', 'bob', 'carol'], { alice: network })
    await Promise.all([world.receiver('bob'), world.receiver('carol')])
  })
  afterAll(async () => {
    await network[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
  })

  test.each([
    ['sealed', []],
    ['plain', ['--plain']],
  ])('a folder is delivered as one transfer to several receivers (%s)', async (how, args) => {
    const folder = await makeFolder(world, `photos-${how}`)
    const sending = world.send(folder, 'bob,carol', ...PARTS, ...args)
    expect((await sending.ended).code).toBe(0)
    expect(kindsOf(sending).sort()).toEqual(['delivered', 'delivered', 'stored'])
    expect(await startOf(sending)).toMatchObject({
      tree: { fileCount: 402, contentBytes: 3 * MIB + 1 + 400 * 5000 + 10 },
    })
    const status = await world.run('status', '--profile', 'alice', '--limit', '1')
    expect(status.stdout).toContain(` 4.9 MiB  photos-${how}/ (402 files) to bob and carol: delivered`)
    const waiting = await world.run('status', '--received', '--profile', 'bob', '--limit', '1')
    expect(waiting.stdout).toContain(` 4.9 MiB  photos-${how}/ (402 files) from alice: delivered`)
    for (const name of ['bob', 'carol']) requireSame(folder, arrived(world, name, `photos-${how}`))
  })

  test('a folder that fits into one request is delivered, too', async () => {
    const folder = world.path('files/small')
    await mkdir(join(folder, 'empty'), { recursive: true })
    await writeFile(join(folder, 'a'), 'a')
    const sending = world.send(folder, 'bob')
    expect((await sending.ended).code).toBe(0)
    requireSame(folder, arrived(world, 'bob', 'small'))
  })

  test('status shows a folder by its files, and the size of the files', async () => {
    const folder = world.path('files/shown')
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'a'), 'a'.repeat(2048))
    await writeFile(join(folder, 'b'), 'b'.repeat(1024))
    const sending = world.send(folder, 'bob')
    expect((await sending.ended).code).toBe(0)
    const list = await world.run('status', '--profile', 'alice')
    expect(list.stdout).toMatch(/ 3\.0 KiB {2}shown\/ \(2 files\) to bob: delivered\n/)
    const one = await world.run('status', String((await startOf(sending)).transferId), '--profile', 'alice')
    expect(one.stdout).toMatch(/^shown\/ \(2 files\), 3\.0 KiB, from alice to bob\n/)
    const received = await world.run('status', '--received', '--profile', 'bob')
    expect(received.stdout).toMatch(/ 3\.0 KiB {2}shown\/ \(2 files\) from alice: delivered\n/)
  })

  test('status shows the size of a sealed file without what sealing adds', async () => {
    const sending = world.send(await world.file('seven.txt', 7), 'bob')
    expect((await sending.ended).code).toBe(0)
    const { stdout } = await world.run('status', String((await startOf(sending)).transferId), '--profile', 'alice')
    expect(stdout).toMatch(/^seven\.txt, 7 B, from alice to bob\n/)
  })

  test('the demo delivers a folder, and compares its files', async () => {
    const folder = world.path('files/demo')
    await mkdir(join(folder, 'sub'), { recursive: true })
    await writeFile(join(folder, 'a'), 'a')
    await writeFile(join(folder, 'sub/b'), 'b')
    const { code, stdout, stderr } = await world.run('demo', folder)
    expect(code, stderr).toBe(0)
    expect(stdout).toContain('demo/: delivered to bob: arrived, intact, receipt verified')
    expect(stdout).toContain('all 2 delivered files are those sent')
    const [inbox = ''] = /(?<=it lies at +)\S+/.exec(stdout) ?? []
    expect(readdirSync(inbox).sort()).toEqual(['a', 'sub'])
    await rm(join(inbox, '../..'), { recursive: true })
  })

  test('several paths are one delivery with --as, and deliveries of their own without', async () => {
    const one = await makeFolder(world, 'one')
    const other = await world.file('other.bin', 1000)
    const sending = world.send([one, other], 'bob', '--as', 'both')
    expect((await sending.ended).code).toBe(0)
    expect(kindsOf(sending)).toEqual(['stored', 'delivered'])
    requireSame(one, join(arrived(world, 'bob', 'both'), 'one'))
    const apart = world.send([one, other], 'carol')
    expect((await apart.ended).code).toBe(0)
    expect(kindsOf(apart).sort()).toEqual(['delivered', 'delivered', 'stored', 'stored'])
  })

  test('a folder that is sent again after kill -9 continues, and only the missing parts are sent', async () => {
    const folder = await makeFolder(world, 'killed')
    const held = gate(network, (seen) => (partOf(seen) ?? 0) > 3)
    const sending = world.send(folder, 'bob', ...PARTS)
    const { transferId } = await startOf(sending)
    await until(async () => (await world.stored()).filter((name) => /^[123]\./.test(name)).length === 3, 'three parts')
    await sending.stop('SIGKILL')
    held.open()
    const from = network.seen.length
    const again = world.send(folder, 'bob', ...PARTS)
    expect(await startOf(again)).toMatchObject({ transferId, isResumed: true })
    expect((await again.ended).code).toBe(0)
    expect(Object.keys(partsSent(network, from)).map(Number)).toEqual([4, 5, 6])
    requireSame(folder, arrived(world, 'bob', 'killed'))
  })

  test('a part that arrives damaged is made again by itself', async () => {
    const folder = await makeFolder(world, 'damaged')
    let isDamaged = false
    network.rule = (seen) => {
      if (isDamaged || partOf(seen) !== 2) return null
      isDamaged = true
      return { corruptRequest: true }
    }
    const from = network.seen.length
    const sending = world.send(folder, 'bob', ...PARTS)
    expect((await sending.ended).code).toBe(0)
    network.rule = () => null
    expect(partsSent(network, from)).toEqual({ 1: 1, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1 })
    requireSame(folder, arrived(world, 'bob', 'damaged'))
  })

  test('a file that is written to meanwhile is named, and nothing is delivered', async () => {
    const folder = await makeFolder(world, 'changing')
    const from = network.seen.length
    const held = gate(network, (seen) => partOf(seen) === 6)
    const sending = world.send(folder, 'bob', ...PARTS)
    await until(() => network.seen.slice(from).some((seen) => partOf(seen) === 6), 'the last part')
    await appendFile(join(folder, 'sub/7.txt'), 'more')
    held.open()
    expect((await sending.ended).code).toBe(4)
    const [summary] = sending.json.filter(({ type }) => type === 'summary')
    expect(summary).toMatchObject({
      transfers: [{ outcome: 'refused', problem: { code: 'source-changed', path: 'changing/sub/7.txt' } }],
    })
    expect(notificationsOf(sending)).toEqual([])
    expect((await world.received('bob')).filter((name) => name.startsWith('changing'))).toEqual([])
  })

  test('what cannot be sent is a warning with exit code 0, or refused with --strict; --dry-run sends nothing', async () => {
    const folder = world.path('files/links')
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, 'a.log'), 'a')
    await writeFile(join(folder, 'b'), 'b')
    await symlink('/etc', join(folder, 'out'))
    const from = network.seen.length
    const strict = world.send(folder, 'bob', '--strict')
    expect((await strict.ended).code).toBe(2)
    expect(strict.stderr).toMatch(/links\/out: the link leads out of the folder: \/etc \(source-incomplete\)/)
    const listed = await world.send(folder, 'bob', '--dry-run', '--exclude', '*.log').ended
    expect(
      listed.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { type: 'entry', path: 'links', kind: 'folder' },
      { type: 'entry', path: 'links/b', kind: 'file', sizeBytes: 1 },
      { type: 'left-out', path: 'links/out' },
      { type: 'delivery', tree: { fileCount: 1, contentBytes: 1 } },
    ])
    expect(network.seen.length).toBe(from)
    const sending = world.send(folder, 'bob', '--exclude', '*.log')
    expect((await sending.ended).code).toBe(0)
    expect(sending.json).toContainEqual(expect.objectContaining({ phase: 'left-out', path: 'links/out' }))
    const place = arrived(world, 'bob', 'links')
    await rm(join(folder, 'a.log'))
    await rm(join(folder, 'out'))
    execFileSync('diff', ['-r', folder, place])
  })

  test('a path that is a link is followed: what it leads to arrives under the name of the link', async () => {
    const folder = await makeFolder(world, 'version 2')
    const path = world.path('files/current')
    await symlink('version 2', path)
    const document = world.path('files/latest.txt')
    await symlink(join('version 2', 'a.txt'), document)
    await writeFile(join(folder, 'a.txt'), 'the newest')
    const sending = world.send([path, document], 'bob')
    expect((await sending.ended).code).toBe(0)
    // Programs learn from `status` what the portal cannot read.
    const args = ['status', '--profile', 'alice', '--json', '--limit', '2'] as const
    const lines = (await world.run(...args)).stdout.trim().split('\n')
    const files = lines.map((line) => JSON.parse(line).file).sort((one, other) => (one.name < other.name ? -1 : 1))
    expect(files).toMatchObject([
      { name: 'current', tree: { fileCount: 403, contentBytes: expect.any(Number) }, mediaType: 'application/x-tar' },
      { name: 'latest.txt', tree: null, sizeBytes: 10, mediaType: 'text/plain' },
    ])
    requireSame(folder, arrived(world, 'bob', 'current'))
    expect(readFileSync(arrived(world, 'bob', 'latest.txt'), 'utf8')).toBe('the newest')
    expect((await world.send([path, document], 'bob', '--as', 'linked').ended).code).toBe(0)
    requireSame(folder, arrived(world, 'bob', 'linked/current'))
    expect(readFileSync(arrived(world, 'bob', 'linked/latest.txt'), 'utf8')).toBe('the newest')
  })

  test('a folder arrives while it is still being sent', async () => {
    const folder = await makeFolder(world, 'fetched-early')
    const held = gate(network, (seen) => partOf(seen) === 6)
    const sending = world.send(folder, 'bob', ...PARTS)
    const fetching = await sending.object((line) => line.phase === 'fetching' && Number(line.fetchedBytes) > 0)
    // Of the second hop, too, the file that is under way is told.
    expect(fetching.files).toEqual({ done: expect.any(Number), path: expect.stringMatching(/^fetched-early/) })
    expect(kindsOf(sending)).toEqual([])
    held.open()
    expect((await sending.ended).code).toBe(0)
    requireSame(folder, arrived(world, 'bob', 'fetched-early'))
  })

  test('a receipt proves the folder that was sent and the one that was received, without the portal', async () => {
    const folder = await makeFolder(world, 'proven')
    await writeFile(join(folder, 'left out.log'), '')
    const args = [...PARTS, '--exclude', '*.log']
    for (const times of [[], ['--no-times']]) {
      const sending = world.send(folder, 'bob', ...args, ...times)
      expect((await sending.ended).code).toBe(0)
      const { transferId } = await startOf(sending)
      const receipt = world.path(`proven${times.length}.receipt`)
      await world.run('receipt', String(transferId), '--profile', 'alice', '--out', receipt)
      const verify = (path: string, ...more: string[]) => world.run('verify', path, '--receipt', receipt, ...more)
      const received = arrived(world, 'bob', times.length === 0 ? 'proven' : 'proven (1)')
      const sent = await verify(folder, '--exclude', '*.log')
      expect(sent.stdout, sent.stderr).toMatch(/proven: bob received exactly this folder/)
      expect((await verify(received)).code).toBe(0)
      await rename(received, `${received} moved`)
      // So the next one gets a number.
      await mkdir(received)
      expect((await verify(`${received} moved`)).code).toBe(3)
      expect((await verify(`${received} moved`, '--as', 'proven')).code).toBe(0)
      expect((await verify(folder)).stdout).toMatch(
        /not proven: the tar of the folder has \d+ bytes, and \d+ were received/,
      )
      await chmod(join(`${received} moved`, 'run.sh'), 0o644)
      const changed = await verify(`${received} moved`, '--as', 'proven')
      expect(changed).toMatchObject({
        code: 3,
        stdout: '✘ not proven: something in the folder is not what was received\n',
      })
    }
  })
})
