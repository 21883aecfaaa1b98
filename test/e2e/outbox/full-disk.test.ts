/** The disk of a drop folder is really full at a step: the file waits there, one sentence says so, and it continues once there is room. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { hasCode } from '../../../src/fs/index.ts'
import { type Running, until, type World } from '../harness/world.ts'
import { Outbox, outboxWorld, receivedBy, transfersOf } from './scene.ts'

const PAGE_BYTES = 4096
const NO_ROOM = 'there is no room left for'

/** A drop folder on a small disk, mounted for the process of its watcher only. It needs no unmounting. */
class SmallDisk {
  readonly outbox: Outbox
  readonly watch: Running
  readonly #folder: string

  private constructor(outbox: Outbox, watch: Running, folder: string) {
    this.outbox = outbox
    this.watch = watch
    this.#folder = folder
  }

  static async watched(world: World, mounted: string, args: readonly string[] = []): Promise<SmallDisk> {
    const outbox = new Outbox(world)
    mkdirSync(mounted, { recursive: true })
    const mount = 'mount -t tmpfs -o size=1m,mode=700 tmpfs "$0" && exec "$@"'
    const watch = await outbox.watch(args, {}, ['unshare', '-r', '-m', 'sh', '-c', mount, mounted])
    const root = `/proc/${watch.child.pid}/root`
    return new SmallDisk(new Outbox(world, join(root, outbox.folder)), watch, join(root, mounted))
  }

  /** Leaves room for this number of pages. */
  fill(pages = 0): void {
    for (let page = 0; page < pages; page++) writeFileSync(join(this.#folder, `.spare-${page}`), 'x')
    for (let page = 0; this.#takes(page); page++);
    for (let page = 0; page < pages; page++) rmSync(join(this.#folder, `.spare-${page}`))
  }

  #takes(page: number): boolean {
    try {
      writeFileSync(join(this.#folder, `.fill-${page}`), Buffer.alloc(PAGE_BYTES, 1))
      return true
    } catch (error) {
      if (hasCode(error, 'ENOSPC')) return false
      throw error
    }
  }

  makeRoom(): void {
    for (const name of readdirSync(this.#folder).filter((one) => one.startsWith('.fill-')))
      rmSync(join(this.#folder, name))
  }

  /** A file is stored, and the command for that has ended: the note that it runs takes no room any more. */
  async isStored(): Promise<void> {
    await this.watch.object((one) => one.type === 'command' && one.event === 'stored')
  }

  async waits(): Promise<void> {
    await this.watch.object(({ type }) => type === 'waiting')
  }

  get reasons(): unknown[] {
    return this.watch.json.filter(({ type }) => type === 'waiting').map(({ reason }) => reason)
  }

  get record(): string {
    const name = readdirSync(this.outbox.path('.sending')).find((one) => one.endsWith('.jsonl'))
    return name === undefined ? '' : readFileSync(this.outbox.path('.sending', name), 'utf8')
  }

  /** What lies in the drop folder, without what fills the disk. */
  async has(files: Readonly<Record<string, string>>): Promise<void> {
    const own = () => Object.entries(this.outbox.files).filter(([path]) => !path.startsWith('.fill-'))
    await until(() => JSON.stringify(own().sort()) === JSON.stringify(Object.entries(files).sort()), 'the files')
  }
}

/** A command of `--exec` that notes its events. */
function noted(world: World): { readonly args: readonly string[]; readonly lines: () => readonly string[] } {
  const path = world.path('events')
  return {
    args: ['--exec', `echo $GOLOOADER_EXEC_NAME $GOLOOADER_EXEC_EVENT >> ${path}`],
    lines: () => (existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n') : []),
  }
}

test('when the record of a batch cannot be written, the files stay in the drop folder, and nothing piles up', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const disk = await SmallDisk.watched(world, world.path('outbox-1'), ['--poll', '200ms'])
  disk.outbox.write('a.part', 'a')
  disk.fill()
  renameSync(disk.outbox.path('a.part'), disk.outbox.path('a.txt'))
  await disk.waits()
  await until(() => disk.watch.json.length > 0 && disk.reasons.length > 0, 'it says so')
  expect(disk.reasons).toEqual([
    `${NO_ROOM} ${world.path('outbox-1')}. Make room: what waits continues by itself, and nothing is lost`,
  ])
  expect(readFileSync(disk.outbox.path('a.txt'), 'utf8')).toBe('a')
  expect(readdirSync(disk.outbox.path('.sending')).filter((name) => /^[0-9a-f]{8}-/.test(name))).toEqual([])
  expect(await transfersOf(world)).toEqual([])
  disk.makeRoom()
  await disk.has({ 'sent/a.txt': 'a' })
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a' })
  expect(await transfersOf(world)).toHaveLength(1)
  expect(disk.reasons).toHaveLength(1)
})

test('when the end of a transfer cannot be recorded, it is neither lost nor sent twice, and its receipt is kept', async () => {
  await using world = await outboxWorld()
  const events = noted(world)
  // The record of the batch fills its page, so that what is appended needs another one.
  const long = ['--exclude', 'x'.repeat(PAGE_BYTES - 400)]
  const disk = await SmallDisk.watched(world, world.path('outbox-1'), [...long, ...events.args])
  disk.outbox.write('a.txt', 'a')
  await disk.isStored()
  expect(disk.record.length).toBeLessThan(PAGE_BYTES)
  expect(disk.record.length).toBeGreaterThan(PAGE_BYTES - 300)
  disk.fill()
  await world.receiver('bob')
  await disk.waits()
  expect(disk.record).not.toMatch(/"end".*\n/)
  expect(Object.keys(disk.outbox.files).filter((path) => /\/a\.txt$/.test(path))).toEqual([
    expect.stringMatching(/^\.sending\/.*\/a\.txt$/),
  ])
  // It has tried again, and waits on.
  await until(() => disk.watch.json.filter(({ type }) => type === 'started').length > 1, 'it tries again')
  disk.makeRoom()
  await disk.has({ 'sent/a.txt': 'a' })
  expect(disk.outbox.notes).toEqual(['sent/a.txt.receipt.json'])
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a' })
  expect(await transfersOf(world)).toHaveLength(1)
  await until(() => events.lines().length === 2, 'the commands have run')
  expect(events.lines()).toEqual(['a.txt stored', 'a.txt delivered'])
  expect(disk.reasons).toHaveLength(1)
})

test('when the receipt beside a file cannot be written, the file waits in .sending, and nothing half-written stays', async () => {
  await using world = await outboxWorld()
  const events = noted(world)
  const disk = await SmallDisk.watched(world, world.path('outbox-1'), events.args)
  disk.outbox.write('a.txt', 'a')
  await disk.isStored()
  disk.fill()
  await world.receiver('bob')
  await disk.waits()
  expect(disk.record).toMatch(/"end".*\n/)
  expect(readdirSync(disk.outbox.path('sent'))).toEqual([])
  disk.makeRoom()
  await disk.has({ 'sent/a.txt': 'a' })
  const receipt = disk.outbox.path('sent/a.txt.receipt.json')
  const { code } = await world.run('verify', world.path('inbox', 'bob', 'a.txt'), '--receipt', receipt)
  expect(code).toBe(0)
  expect(events.lines()).toEqual(['a.txt stored', 'a.txt delivered'])
})

test.each([0, 1])('when %i of the notes in failed/ can be written, the file waits, and gets both', async (pages) => {
  await using world = await outboxWorld()
  const events = noted(world)
  const disk = await SmallDisk.watched(world, world.path('outbox-1'), [...events.args, '--to', 'carol'])
  disk.outbox.write('a.txt', 'a')
  await disk.isStored()
  disk.fill(pages)
  await world.receiver('carol', ['--from', 'bob'])
  await disk.waits()
  expect(readdirSync(disk.outbox.path('failed'))).toEqual(pages === 0 ? [] : ['a.txt.problem.txt'])
  disk.makeRoom()
  await disk.has({ 'failed/a.txt': 'a' })
  expect(disk.outbox.notes).toEqual(['failed/a.txt.problem.json', 'failed/a.txt.problem.txt'])
  expect(JSON.parse(readFileSync(disk.outbox.path('failed/a.txt.problem.json'), 'utf8')).outcome).toBe('failed')
  expect(events.lines()).toEqual(['a.txt stored', 'a.txt failed'])
  expect(await transfersOf(world)).toHaveLength(1)
})

test('when the disk with the journal is full, files wait, the sentence names that disk, and each is sent once', async () => {
  await using world = await outboxWorld()
  await world.receiver('bob')
  const state = world.path('state')
  const disk = await SmallDisk.watched(world, state)
  disk.outbox.write('a.txt', 'a')
  await disk.has({ 'sent/a.txt': 'a' })
  disk.fill()
  disk.outbox.write('b.txt', 'b')
  await disk.waits()
  expect(disk.reasons).toEqual([expect.stringContaining(`${NO_ROOM} ${join(state, 'golooader')}. Make room`)])
  disk.makeRoom()
  await disk.has({ 'sent/a.txt': 'a', 'sent/b.txt': 'b' })
  expect(receivedBy(world, 'bob')).toEqual({ 'a.txt': 'a', 'b.txt': 'b' })
  expect(await transfersOf(world)).toHaveLength(2)
})
