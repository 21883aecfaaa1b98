/**
 * Installs the servers and browsers that tests need, by one `apt-get install`: `npm run test:setup`, as root, on
 * Debian.
 * Installed packages stay unchanged.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hasCode } from '../../src/fs/index.ts'
import { missingServers } from './install.ts'

/**
 * Debian's packages ask it whether they may start a service:
 * https://people.debian.org/~hmh/invokerc.d-policyrc.d-specification.txt
 */
const SERVICE_POLICY_PATH = '/usr/sbin/policy-rc.d'
const SERVICE_POLICY =
  '#!/bin/sh\n# Made while tests of GoLooader install servers: they run none as a service.\nexit 101\n'
/**
 * Waits for another running apt. Disables the sync of each file, because a crash of the machine only means that the
 * packages have to be installed again.
 */
const APT_OPTIONS = ['-qq', '-o', 'DPkg::Lock::Timeout=300', '-o', 'DPkg::Options::=--force-unsafe-io']

const { packages } = missingServers()
const command = `apt-get install -y --no-install-recommends ${packages.join(' ')}`
if (packages.length === 0) console.log('Servers and browsers: all of them are here.')
else if (process.getuid?.() === 0) install()
else fail(`Some servers or browsers are missing, and this user may not install them. As root: ${command}`)

function install(): void {
  console.log(command)
  withoutServices(() => {
    apt('update')
    apt('install', '-y', '--no-install-recommends', ...packages)
  })
  const { programs } = missingServers()
  if (programs.length > 0) fail(`These are still missing: ${programs.join(', ')}`)
}

function apt(...args: string[]): void {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  execFileSync('apt-get', [...APT_OPTIONS, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] })
}

/** Keeps packages from starting services during the installation. A policy of the machine stays. */
function withoutServices(act: () => void): void {
  let isOurs = true
  try {
    writeFileSync(SERVICE_POLICY_PATH, SERVICE_POLICY, { mode: 0o755, flag: 'wx' })
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
    // A killed setup has left it.
    isOurs = readFileSync(SERVICE_POLICY_PATH, 'utf8') === SERVICE_POLICY
  }
  try {
    act()
  } finally {
    if (isOurs) rmSync(SERVICE_POLICY_PATH)
  }
}

function fail(what: string): void {
  console.error(what)
  process.exitCode = 1
}
