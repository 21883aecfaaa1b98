/** Mounts file systems on which golooader cannot keep its data, as root and for one test. All programs come from Debian. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { vi } from 'vitest'
import { programPath, requireServer } from '../servers/install.ts'
import { freePort, isListening } from '../servers/server-process.ts'

const run = promisify(execFile)
const WAIT_MS = 90_000

interface Place {
  readonly under: string
  readonly at: string
  /** Registers a function that ends a program after the test. */
  readonly later: (end: () => Promise<void>) => void
}

interface Kind {
  /** The name in /proc/filesystems. */
  readonly kernelName: string
  /** The refusal message matches this. */
  readonly says: RegExp
  readonly mount: (place: Place) => Promise<void>
}

export const poorDisks = {
  'squashfs, which can only be read': {
    kernelName: 'squashfs',
    says: /lies on a disk that can only be read/,
    mount: mountSquashfs,
  },
  'rclone without a cache, which writes no file in its middle': {
    kernelName: 'fuse',
    says: /lies on a file system that cannot (?:change a file in its middle|create, write and sync a file) \(/,
    mount: mountRclone,
  },
  'a disk without room': { kernelName: 'tmpfs', says: /there is no room left for .*Make room/, mount: mountFull },
} as const satisfies Record<string, Kind>

export const davfs: Kind = {
  kernelName: 'fuse',
  says: /lies on a file system that cannot carry SQLite's write-ahead log/,
  mount: mountDavfs,
}

/** @returns why this machine cannot mount it, or null when it can */
export function whyNot({ kernelName }: Kind): string | null {
  if (process.getuid?.() !== 0) return 'only root may mount it'
  if (kernelName === 'fuse' && !existsSync('/dev/fuse')) return 'there is no /dev/fuse here'
  const known = readFileSync('/proc/filesystems', 'utf8').split('\n')
  return known.some((line) => line.split('\t')[1] === kernelName) ? null : `this kernel has no ${kernelName}`
}

/** Mounts a new file system, as empty as it can be. */
export async function mountPoor({ mount }: Kind): Promise<{ readonly folder: string } & AsyncDisposable> {
  const under = await mkdtemp(join(tmpdir(), 'golooader-mounts-'))
  const at = await folderIn(under, 'at')
  const ends: (() => Promise<void>)[] = []
  const unmount = async (): Promise<void> => {
    if (isMounted(at)) await vi.waitFor(() => run('umount', [at]), { timeout: WAIT_MS, interval: 100 })
    for (const end of ends.reverse()) await end()
    await rm(under, { recursive: true, force: true })
  }
  try {
    await mount({ under, at, later: (end) => ends.push(end) })
    return { folder: at, [Symbol.asyncDispose]: unmount }
  } catch (error) {
    await unmount()
    throw error
  }
}

function isMounted(at: string): boolean {
  return readFileSync('/proc/self/mounts', 'utf8').includes(` ${at} `)
}

async function folderIn(folder: string, name: string): Promise<string> {
  await mkdir(join(folder, name))
  return join(folder, name)
}

async function mountSquashfs({ under, at }: Place): Promise<void> {
  await requireServer('squashfs')
  const image = join(under, 'image')
  await run(programPath('mksquashfs'), [await folderIn(under, 'content'), image, '-quiet', '-no-progress'])
  await run('mount', ['-t', 'squashfs', '-o', 'loop,ro', image, at])
}

/** Fills the disk. Files can still be created, but almost nothing can be written into them. */
async function mountFull({ at }: Place): Promise<void> {
  await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', at])
  await writeFile(join(at, 'filler'), Buffer.alloc(60 * 1024))
}

async function mountRclone({ under, at }: Place): Promise<void> {
  await requireServer('rclone')
  const config = await emptyFile(under, 'rclone.conf')
  const args = ['mount', '--vfs-cache-mode', 'off', '--config', config, await folderIn(under, 'disk'), at]
  await inBackground(programPath('rclone'), args, { under, at, later: () => {} }, async () => isMounted(at))
}

/** Mounts a folder by WebDAV. rclone is the server. */
async function mountDavfs(place: Place): Promise<void> {
  const { under, at } = place
  await requireServer('rclone')
  await requireServer('davfs')
  const port = await freePort()
  const config = await emptyFile(under, 'rclone.conf')
  const serve = ['serve', 'webdav', '--addr', `127.0.0.1:${port}`, '--config', config, await folderIn(under, 'disk')]
  await inBackground(programPath('rclone'), serve, place, () => isListening(port))
  const davfsConfig = join(under, 'davfs2.conf')
  const cache = await folderIn(under, 'cache')
  // The daemon of davfs runs as another user.
  await Promise.all([chmod(under, 0o755), chmod(cache, 0o777)])
  // On new kernels davfs needs a larger buffer to list folders.
  await writeFile(davfsConfig, `ask_auth 0\nuse_locks 0\nbuf_size 256\ncache_dir ${cache}\n`)
  await run(programPath('mount.davfs'), [`http://127.0.0.1:${port}/`, at, '-o', `conf=${davfsConfig}`])
}

async function emptyFile(folder: string, name: string): Promise<string> {
  await writeFile(join(folder, name), '')
  return join(folder, name)
}

/** Runs a program in the background. A mounting program ends with its mount, and the test ends any other one. */
async function inBackground(
  command: string,
  args: readonly string[],
  { later }: Place,
  isReady: () => Promise<boolean>,
): Promise<void> {
  const child = spawn(command, args, { stdio: 'ignore' })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  later(async () => {
    child.kill()
    await ended
  })
  await vi.waitFor(
    async () => {
      if (child.exitCode !== null) throw new Error(`${command} ended with ${child.exitCode}`)
      if (!(await isReady())) throw new Error(`${command} is not ready`)
    },
    { timeout: WAIT_MS, interval: 50 },
  )
}
