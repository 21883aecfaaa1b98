/**
 * The servers that tests need are Debian's. Where one is missing it is installed, if this process may; otherwise the
 * test fails and says what to install. Nothing is skipped in silence.
 */
import { execFile } from 'node:child_process'
import { accessSync, constants, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { hasCode } from '../../src/hop/node.ts'
import { underLock } from './run.ts'

const run = promisify(execFile)

/** What can be required: its packages, and the programs that are used of them or of what they depend on. */
const servers = {
  postgresql: { packages: ['postgresql'], programs: ['postgres', 'initdb', 'psql', 'pg_isready'] },
  radosgw: {
    packages: ['ceph-mon', 'ceph-osd', 'radosgw'],
    programs: ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph', 'monmaptool'],
  },
  haproxy: { packages: ['haproxy'], programs: ['haproxy'] },
  nginx: { packages: ['nginx-light'], programs: ['nginx'] },
  // Without a font of its own it shows, and measures, no text.
  chromium: { packages: ['chromium', 'fonts-dejavu-core'], programs: ['chromium'] },
} as const

type ServerName = keyof typeof servers
export type ProgramName = (typeof servers)[ServerName]['programs'][number]

const POSTGRESQL_FOLDER = '/usr/lib/postgresql'
/** Asked by Debian's packages whether they may start a service: https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt */
const SERVICE_POLICY_PATH = '/usr/sbin/policy-rc.d'
const SERVICE_POLICY =
  '#!/bin/sh\n# Made while tests of GoLooader install servers: they run none as a service.\nexit 101\n'
/** Another apt may be at work: it is waited for. */
const APT_OPTIONS = ['-qq', '-o', 'DPkg::Lock::Timeout=120']

/**
 * Makes sure that the programs of a server are there.
 *
 * @throws Error naming what is missing and the command that installs it
 */
export async function requireServer(name: ServerName): Promise<void> {
  const missing = missingPrograms(name)
  if (missing.length === 0) return
  const need = `tests need ${name}, and there is no ${missing.join(', ')} here`
  const args = ['install', '-y', '--no-install-recommends', ...servers[name].packages]
  const command = `apt-get ${args.join(' ')}`
  if (process.getuid?.() !== 0) throw new Error(`${need}; as root: ${command}`)
  await underLock('install', async () => {
    // Whoever had the lock before has probably done it.
    if (missingPrograms(name).length === 0) return
    try {
      await withoutServices(async () => {
        await apt('update')
        await apt(...args)
      })
    } catch (cause) {
      throw new Error(`${need}; this failed: ${command}`, { cause })
    }
    const still = missingPrograms(name)
    if (still.length > 0) throw new Error(`there is no ${still.join(', ')} even after ${command}`)
  })
}

/** Where a program is. `requireServer` comes first. */
export function programPath(name: ProgramName): string {
  const path = findProgram(name)
  if (path === null) throw new Error(`there is no program ${name}`)
  return path
}

function missingPrograms(name: ServerName): ProgramName[] {
  return servers[name].programs.filter((program) => findProgram(program) === null)
}

function findProgram(name: ProgramName): string | null {
  const found = programFolders().find((folder) => isProgram(join(folder, name)))
  return found === undefined ? null : join(found, name)
}

/** Debian keeps PostgreSQL out of the PATH, and other servers out of that of people who are not root. */
function programFolders(): string[] {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return [...postgresqlFolders(), ...path, '/usr/local/sbin', '/usr/sbin', '/sbin']
}

/** The newest version first. */
function postgresqlFolders(): string[] {
  try {
    const versions = readdirSync(POSTGRESQL_FOLDER).sort((a, b) => Number(b) - Number(a))
    return versions.map((version) => join(POSTGRESQL_FOLDER, version, 'bin'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false
    throw error
  }
}

async function apt(...args: string[]): Promise<void> {
  await run('apt-get', [...APT_OPTIONS, ...args], { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
}

/** Keeps packages from starting a service of their own while they are installed. A policy of the machine's own stays. */
async function withoutServices(act: () => Promise<void>): Promise<void> {
  let isOurs = true
  try {
    writeFileSync(SERVICE_POLICY_PATH, SERVICE_POLICY, { mode: 0o755, flag: 'wx' })
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    // A run that was killed here has left it.
    isOurs = readFileSync(SERVICE_POLICY_PATH, 'utf8') === SERVICE_POLICY
  }
  try {
    await act()
  } finally {
    if (isOurs) rmSync(SERVICE_POLICY_PATH)
  }
}
