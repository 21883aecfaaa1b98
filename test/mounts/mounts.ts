/**
 * Mounts common file systems for a test, with programs from Debian. When the kernel lacks a file system, the test prints that and
 * skips it. Any other failure fails the test.
 */
import { execFile, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { vi } from 'vitest'
import { programPath, requireServer } from '../servers/install.ts'

const run = promisify(execFile)
const FOLDER_PREFIX = 'golooader-mounts-'
const MOUNT_WAIT_MS = 90_000

/** The folders and files that make up a file system: its mount point and what lies behind it. */
interface Place {
  readonly under: string
  readonly at: string
}

interface MountKind {
  /** The name in /proc/filesystems, or null when a plain folder suffices. */
  readonly kernelName: string | null
  readonly mount: (place: Place) => Promise<void>
}

export const mountKinds = {
  'the local disk': { kernelName: null, mount: async () => {} },
  btrfs: { kernelName: 'btrfs', mount: (place) => mountImage(place, 'mkfs.btrfs', ['-q'], 256) },
  xfs: { kernelName: 'xfs', mount: (place) => mountImage(place, 'mkfs.xfs', ['-q'], 320) },
  overlayfs: { kernelName: 'overlay', mount: mountOverlay },
  'fuse-overlayfs': { kernelName: 'fuse', mount: mountFuseOverlay },
  sshfs: { kernelName: 'fuse', mount: mountSshfs },
  mergerfs: { kernelName: 'fuse', mount: mountMergerfs },
  gocryptfs: { kernelName: 'fuse', mount: mountGocryptfs },
  encfs: { kernelName: 'fuse', mount: mountEncfs },
  'ntfs-3g': { kernelName: 'fuse', mount: mountNtfs },
  bindfs: {
    kernelName: 'fuse',
    mount: async ({ under, at }) => fuse('bindfs', [await folderIn(under, 'disk'), at], at),
  },
  'exfat-fuse': { kernelName: 'fuseblk', mount: mountExfat },
  securefs: { kernelName: 'fuse', mount: mountSecurefs },
  CryFS: { kernelName: 'fuse', mount: mountCryfs },
  'unionfs-fuse': { kernelName: 'fuse', mount: mountUnionfs },
  'rclone, cache mode writes': { kernelName: 'fuse', mount: (place) => mountRclone(place, 'writes') },
  'rclone, cache mode full': { kernelName: 'fuse', mount: (place) => mountRclone(place, 'full') },
} as const satisfies Record<string, MountKind>

export type MountName = keyof typeof mountKinds

export interface Mount extends AsyncDisposable {
  /** A folder on the requested file system. */
  readonly folder: string
}

/** @returns why this machine cannot mount it, or null when it can */
export function whyNot(name: MountName): string | null {
  const { kernelName } = mountKinds[name]
  if (kernelName === null) return null
  if (process.getuid?.() !== 0) return `${name}: only root may mount it`
  if (kernelName.startsWith('fuse') && !existsSync('/dev/fuse')) return `${name}: there is no /dev/fuse here`
  const known = readFileSync('/proc/filesystems', 'utf8')
    .split('\n')
    .map((line) => line.split('\t')[1])
  return known.includes(kernelName) ? null : `${name}: this kernel has no ${kernelName} (modprobe ${kernelName})`
}

/** Mounts a new, empty file system. */
export function mount(name: MountName): Promise<Mount> {
  return mountAs(mountKinds[name].mount)
}

async function mountAs(act: MountKind['mount']): Promise<Mount> {
  const base = await mkdtemp(join(tmpdir(), FOLDER_PREFIX))
  const at = await folderIn(base, 'at')
  const unmount = async (): Promise<void> => {
    for (const path of mountedUnder(base)) await unmountNow(path)
    await removeFolder(base)
  }
  try {
    await act({ under: base, at })
    return { folder: await folderIn(at, 'received'), [Symbol.asyncDispose]: unmount }
  } catch (error) {
    await unmount()
    throw error
  }
}

/** Mounts a disk of 1 MiB through a file system in user space, which several machines could share. */
export async function mountSmall(): Promise<Mount> {
  return mountAs(async ({ under, at }) => {
    const disk = await folderIn(under, 'disk')
    await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', disk])
    await fuse('bindfs', [disk, at], at)
  })
}

/** Mounts one folder twice by sshfs, like two machines. */
export async function mountTwice(): Promise<{ readonly folders: [string, string] } & AsyncDisposable> {
  const base = await mkdtemp(join(tmpdir(), FOLDER_PREFIX))
  const unmount = async (): Promise<void> => {
    for (const path of mountedUnder(base)) await unmountNow(path)
    await removeFolder(base)
  }
  try {
    const folders: string[] = []
    for (const name of ['one', 'other']) {
      const at = await folderIn(base, name)
      await mountSshfs({ under: base, at })
      folders.push(at)
    }
    const [one = '', other = ''] = folders
    return { folders: [one, other], [Symbol.asyncDispose]: unmount }
  } catch (error) {
    await unmount()
    throw error
  }
}

/** The mount points below a folder, innermost first. */
function mountedUnder(base: string): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n')
  return lines
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(base))
    .reverse()
}

/** Retries, because a daemon may still write data from its memory. */
async function removeFolder(path: string): Promise<void> {
  await vi.waitFor(() => rm(path, { recursive: true, force: true }), { timeout: MOUNT_WAIT_MS, interval: 100 })
}

async function unmountNow(path: string): Promise<void> {
  // The daemon may still be closing files of a killed process.
  await vi.waitFor(() => run('umount', [path]), { timeout: MOUNT_WAIT_MS, interval: 100 })
}

async function folderIn(folder: string, name: string): Promise<string> {
  const path = join(folder, name)
  await mkdir(path, { recursive: true })
  return path
}

async function mountImage({ under, at }: Place, make: 'mkfs.btrfs' | 'mkfs.xfs', args: string[], mib: number) {
  await requireServer(make)
  const image = await imageIn(under, mib)
  await run(programPath(make), [...args, image])
  await run('mount', ['-o', 'loop', image, at])
}

async function imageIn(under: string, mib: number): Promise<string> {
  const image = join(under, 'image')
  await writeFile(image, '')
  await truncate(image, mib * 1024 * 1024)
  return image
}

/** Mounts an overlay on a separate disk, because an overlay cannot use every file system, such as another overlay. */
async function mountOverlay({ under, at }: Place): Promise<void> {
  const disk = await folderIn(under, 'disk')
  await run('mount', ['-t', 'tmpfs', 'none', disk])
  const [lower, upper, work] = await Promise.all(['lower', 'upper', 'work'].map((name) => folderIn(disk, name)))
  await run('mount', ['-t', 'overlay', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, at])
}

async function mountFuseOverlay({ under, at }: Place): Promise<void> {
  const [lower, upper, work] = await Promise.all(['lower', 'upper', 'work'].map((name) => folderIn(under, name)))
  await fuse('fuse-overlayfs', ['-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, at], at)
}

/** Mounts by sshfs. A script in place of ssh runs the server. */
async function mountSshfs({ under, at }: Place): Promise<void> {
  await requireServer('sftp-server')
  const script = join(under, 'ssh')
  await writeFile(script, `#!/bin/sh\nexec ${programPath('sftp-server')}\n`)
  await chmod(script, 0o755)
  await fuse('sshfs', ['-o', `ssh_command=${script}`, `nowhere:${await folderIn(under, 'disk')}`, at], at)
}

async function mountMergerfs({ under, at }: Place): Promise<void> {
  const disks = await Promise.all(['disk', 'second'].map((name) => folderIn(under, name)))
  await fuse('mergerfs', ['-o', 'minfreespace=1M', disks.join(':'), at], at)
}

async function mountGocryptfs({ under, at }: Place): Promise<void> {
  const password = join(under, 'password')
  await writeFile(password, 'password\n')
  const disk = await folderIn(under, 'disk')
  await requireServer('gocryptfs')
  // The cheapest key derivation: nothing is kept secret here.
  await run(programPath('gocryptfs'), ['-init', '-q', '-scryptn', '10', '-passfile', password, disk])
  await fuse('gocryptfs', ['-q', '-passfile', password, disk, at], at)
}

async function mountEncfs({ under, at }: Place): Promise<void> {
  const disk = await folderIn(under, 'disk')
  await fuse('encfs', ['--standard', '--extpass=echo password', disk, at], at)
}

async function mountSecurefs({ under, at }: Place): Promise<void> {
  const disk = await folderIn(under, 'disk')
  await requireServer('securefs')
  // The cheapest key derivation: nothing is kept secret here.
  await run(programPath('securefs'), ['create', '--pass', 'password', '--rounds', '1', disk])
  await fuse('securefs', ['mount', '-b', '--pass', 'password', disk, at], at)
}

async function mountUnionfs({ under, at }: Place): Promise<void> {
  const [upper, lower] = await Promise.all(['disk', 'second'].map((name) => folderIn(under, name)))
  await fuse('unionfs-fuse', ['-o', 'cow', `${upper}=RW:${lower}=RO`, at], at)
}

async function mountNtfs({ under, at }: Place): Promise<void> {
  await requireServer('mkntfs')
  const image = await imageIn(under, 64)
  await run(programPath('mkntfs'), ['-F', '-Q', '-q', image])
  await fuse('ntfs-3g', [image, at], at)
}

/** Mounts exFAT, which accepts only block devices. */
async function mountExfat({ under, at }: Place): Promise<void> {
  await requireServer('mkfs.exfat')
  await requireServer('exfat-fuse')
  const image = await imageIn(under, 64)
  await run(programPath('mkfs.exfat'), [image])
  await run('mount', ['-t', 'exfat-fuse', '-o', 'loop', image, at])
}

/** Mounts CryFS. Its key derivation takes some seconds and has no faster setting. */
async function mountCryfs({ under, at }: Place): Promise<void> {
  const disk = await folderIn(under, 'disk')
  const env = {
    CRYFS_FRONTEND: 'noninteractive',
    CRYFS_NO_UPDATE_CHECK: 'true',
    CRYFS_LOCAL_STATE_DIR: await folderIn(under, 'state'),
  }
  await fuse('cryfs', [disk, at], at, { env, input: 'password\n' })
}

async function mountRclone({ under, at }: Place, cacheMode: string): Promise<void> {
  const args = ['mount', '--daemon', '--vfs-cache-mode', cacheMode, '--cache-dir', await folderIn(under, 'cache')]
  const config = join(under, 'rclone.conf')
  await writeFile(config, '')
  await fuse('rclone', [...args, '--config', config, await folderIn(under, 'disk'), at], at)
}

type FuseProgram =
  | 'sshfs'
  | 'mergerfs'
  | 'gocryptfs'
  | 'encfs'
  | 'ntfs-3g'
  | 'bindfs'
  | 'rclone'
  | 'securefs'
  | 'unionfs-fuse'
  | 'cryfs'
  | 'fuse-overlayfs'

/** Runs a program that mounts a file system and then continues in the background. */
async function fuse(
  program: FuseProgram,
  args: string[],
  at: string,
  { env = {}, input = '' }: { readonly env?: NodeJS.ProcessEnv; readonly input?: string } = {},
): Promise<void> {
  await requireServer(program)
  // The background process would keep pipes open, so it gets none.
  const child = spawn(programPath(program), args, {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: { ...process.env, ...env },
  })
  child.stdin?.on('error', () => {}).end(input)
  const code = await new Promise((resolve, reject) => child.once('exit', resolve).once('error', reject))
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}`)
  await vi.waitFor(() => {
    if (!mountedUnder(at).includes(at)) throw new Error(`${program} has mounted nothing`)
  }, MOUNT_WAIT_MS)
}
