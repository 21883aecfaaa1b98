/** The test kills a receiver between any two steps, on each file system. After the next start each file is there once, and whole. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { lstatSync } from 'node:fs'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inboxFolderName } from '../../src/receiver/names.ts'
import { probeFolder } from '../../src/receiver/node-folder-probe.ts'
import { treeIn } from '../receiver/receive-tree.ts'
import { runFolder } from '../servers/run.ts'
import { bundledProgram } from '../suites/bundled.ts'
import type { Task } from './killed-receiver.ts'
import { type MountName, mount, mountKinds, whyNot } from './mounts.ts'
import { davfs, mountPoor, whyNot as whyNotDavfs } from './poor-disks.ts'
import { contentOf, entriesOf, newFile, newTree, type TestFile } from './test-file.ts'

const PART_BYTES = 20_000
const STEPS_MAX = 400

/** Whether hard links work as they claim on this file system. Everything else is the same for all. */
const hasHonestLinks: Partial<Record<MountName, boolean>> = {
  'the local disk': true,
  btrfs: true,
  xfs: true,
  overlayfs: true,
  'fuse-overlayfs': true,
  sshfs: false,
  mergerfs: false,
  'exfat-fuse': false,
  securefs: false,
  CryFS: false,
  'unionfs-fuse': false,
  'rclone, cache mode writes': false,
  'rclone, cache mode full': false,
}

/** @returns the last output of the process, and whether it was killed */
async function runReceiver(task: Task): Promise<{ readonly said: string; readonly isKilled: boolean }> {
  const program = await bundledProgram(join(import.meta.dirname, 'killed-receiver.ts'))
  return new Promise((resolve, reject) => {
    // All these processes load the same bundle, so Node keeps its compiled code for the run.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(runFolder(), 'compile-cache') }
    execFile(process.execPath, [program, JSON.stringify(task)], { env }, (error, said, errors) => {
      if (error !== null && error.signal !== 'SIGKILL') reject(new Error(errors))
      else resolve({ said, isKilled: error !== null })
    })
  })
}

/** The names, without their numbers, and the digests of the files in the folder. The order of ` (1)` and ` (2)` does not matter. */
async function contentsIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name !== inboxFolderName)
  const digests = names.map(async (name) => {
    const path = join(folder, name)
    const isFolder = lstatSync(path).isDirectory()
    return `${stemOf(name)} ${isFolder ? treeText(treeIn(path)) : digestOf(await readFile(path))}`
  })
  return (await Promise.all(digests)).sort()
}

/** Paths, and digests of the contents. */
function treeText(found: Readonly<Record<string, string>>): string {
  const lines = Object.entries(found).map(([path, content]) => `${path}: ${digestOf(Buffer.from(content, 'latin1'))}`)
  return lines.sort().join(', ')
}

/** The same text for a folder that was made. */
function madeText(made: TestFile): string {
  const inside = entriesOf(made).slice(1)
  const contents = inside.map(({ path, kind, target, content }) => {
    const text = kind === 'folder' ? '/' : kind === 'link' ? `-> ${target}` : Buffer.from(content).toString('latin1')
    return [path.slice(path.indexOf('/') + 1), text]
  })
  return treeText(Object.fromEntries(contents))
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function stemOf(name: string): string {
  return name.replace(/ \(\d+\)/, '')
}

/** The same lines that {@link contentsIn} returns. */
function linesOf(files: readonly TestFile[]): string[] {
  const textOf = (file: TestFile) => (file.isTree === true ? madeText(file) : digestOf(contentOf(file)))
  return files.map((file) => `${file.name} ${textOf(file)}`).sort()
}

interface Killing {
  /** The files that a process receives at the same time, until it is killed before this step. */
  readonly filesOf: (step: number) => TestFile[]
  /** Whether the steps of a start count, too, including how it completes the work of the killed process. */
  readonly isFromStart?: boolean
  /** Kills a process only before every n-th step. */
  readonly stride?: number
}

/**
 * Kills one process before its first step, the next before its second, and so on. Each process first completes the files of the
 * killed one before it.
 *
 * @returns the last step
 */
async function killAtEachStep(folder: string, { filesOf, isFromStart = false, stride = 1 }: Killing): Promise<number> {
  const done: TestFile[] = []
  let earlier: TestFile[] = []
  let killed = 'never'
  for (let step = 1; step < STEPS_MAX; step += stride) {
    const files = filesOf(step)
    const { said, isKilled } = await runReceiver({ folder, earlier, files, killBeforeStep: step, isFromStart })
    if (isKilled && isFromStart) {
      earlier.push(...files)
      continue
    }
    done.push(...earlier)
    const found = await contentsIn(folder)
    if (!isKilled) {
      expect(found, 'after one that was not killed').toEqual(linesOf([...done, ...files]))
      return step
    }
    // The killed process may or may not have completed these files.
    const open = new Set(files.map(({ name }) => name))
    const finished = found.filter((line) => !open.has(line.slice(0, line.indexOf(' '))))
    expect(finished, `after one was killed ${killed}`).toEqual(linesOf(done))
    killed = said
    earlier = files
  }
  throw new Error('there is no end to its steps')
}

/** Whether this machine lacks the file system. Prints the reason. */
function isMissing(name: MountName): boolean {
  const reason = whyNot(name)
  if (reason !== null) console.log(`not tested: ${reason}`)
  return reason !== null
}

const names = Object.keys(mountKinds) as MountName[]

test.concurrent.each(names)('after a kill at any step, a file is there once and complete: %s', async (name) => {
  if (isMissing(name)) return
  await using mounted = await mount(name)
  const steps = await killAtEachStep(mounted.folder, { filesOf: (step) => [newFile(`${step}.bin`, 2 * PART_BYTES)] })
  const found = await probeFolder(mounted.folder, join(mounted.folder, inboxFolderName))
  console.log(`${name}: killed at ${steps - 1} steps; honest links: ${found.hasHonestLinks}`)
  const expected = hasHonestLinks[name]
  if (expected !== undefined) expect(found.hasHonestLinks).toBe(expected)
})

test('after a kill at any step, a file is there once and complete: davfs2', async () => {
  const reason = whyNotDavfs(davfs)
  if (reason !== null) return console.log(`not tested: davfs2: ${reason}`)
  await using mounted = await mountPoor(davfs)
  const folder = join(mounted.folder, 'received')
  await mkdir(folder)
  const steps = await killAtEachStep(folder, { filesOf: (step) => [newFile(`${step}.bin`, 2 * PART_BYTES)] })
  console.log(`davfs2: killed at ${steps - 1} steps`)
})

const oneOfEachWay = ['the local disk', 'sshfs', 'rclone, cache mode writes'] as const satisfies MountName[]

test.concurrent.each(oneOfEachWay)(
  'two concurrent files of one name, killed: both are there once: %s',
  async (name) => {
    if (isMissing(name)) return
    await using mounted = await mount(name)
    const filesOf = (step: number) => [0, 1].map(() => newFile(`${step}.bin`, PART_BYTES))
    await killAtEachStep(mounted.folder, { filesOf, stride: 3 })
  },
)

/** File systems with symbolic links, local ones and others. */
const withLinks = ['the local disk', 'btrfs', 'xfs', 'overlayfs', 'sshfs', 'ntfs-3g'] as const satisfies MountName[]

test.concurrent.each(withLinks)('after a kill at any step, a folder is there once and complete: %s', async (name) => {
  if (isMissing(name)) return
  await using mounted = await mount(name)
  const stride = name === 'the local disk' ? 1 : 3
  const filesOf = (step: number) => [newTree(`${step}`, 2 * PART_BYTES)]
  console.log(`${name}: ${await killAtEachStep(mounted.folder, { filesOf, stride })} steps of a folder`)
})

test.concurrent.each(oneOfEachWay)(
  'two concurrent folders of one name, killed: both are there once: %s',
  async (name) => {
    if (isMissing(name) || name.startsWith('rclone')) return
    await using mounted = await mount(name)
    const filesOf = (step: number) => [0, 1].map(() => newTree(`${step}`, PART_BYTES))
    await killAtEachStep(mounted.folder, { filesOf, stride: 3 })
  },
)

test('after a second kill during the restart, each folder is there once, too', { timeout: 1_500_000 }, async () => {
  await using mounted = await mount('the local disk')
  const filesOf = (step: number) => [newTree(`${step}`, PART_BYTES)]
  await killAtEachStep(mounted.folder, { filesOf, isFromStart: true, stride: 2 })
})

test.concurrent.each(oneOfEachWay)('concurrent small files, killed: each is there once: %s', async (name) => {
  if (isMissing(name)) return
  await using mounted = await mount(name)
  const filesOf = (step: number) => [1, 2, 3].map((index) => newFile(`${step}-${index}.bin`, index * 1000))
  await killAtEachStep(mounted.folder, { filesOf, stride: name === 'the local disk' ? 1 : 4 })
})

/** Each start completes what all those before it have left, so that the starts become longer. A busy machine takes several minutes. */
const STARTS_MS_MAX = 1_500_000

test.concurrent.each(oneOfEachWay)(
  'after a second kill during the restart, each file is there once, too: %s',
  { timeout: STARTS_MS_MAX },
  async (name) => {
    if (isMissing(name)) return
    await using mounted = await mount(name)
    // An empty file looks like a placeholder that the receiver has not filled yet.
    const filesOf = (step: number) => [newFile(`${step}.bin`, step % 3 === 0 ? 0 : PART_BYTES)]
    await killAtEachStep(mounted.folder, { filesOf, isFromStart: true, stride: 2 })
  },
)
