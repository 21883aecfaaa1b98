/**
 * The folders for a person's configuration and state on this machine (XDG Base Directory Specification 0.8).
 *
 * By the specification, a relative path in these variables is invalid and ignored. An empty or relative HOME is ignored in the same
 * way, because keys must never be written to the folder in which a command happens to run.
 *
 * A user without a home folder (a container with a random uid) sets the variables. When the account comes from the environment
 * (`GOLOOADER_PORTAL`, `GOLOOADER_TOKEN`, `GOLOOADER_KEYS`), no lasting folder is needed: a command then keeps its notes in a
 * temporary folder, which it deletes at its end.
 */
import { randomBytes } from 'node:crypto'
import { accessSync, constants, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { hasCode } from '../fs/index.ts'
import { Problem } from '../protocol/index.ts'

/** The folder for profiles, contacts and requests. */
export function configFolder(): string {
  return join(variable('XDG_CONFIG_HOME') ?? join(requireHome(), '.config'), 'golooader')
}

/** The file with the trusted keys of other accounts, for all profiles. */
export function contactsPath(): string {
  return join(noted('XDG_CONFIG_HOME', ['.config']), 'contacts.json')
}

/** The folder with the secrets of the requests for files that this user has made, for all profiles. */
export function requestsFolder(): string {
  return join(noted('XDG_CONFIG_HOME', ['.config']), 'requests')
}

/** The folder for state that should outlive a restart, for instance the sender's journal. */
export function stateFolder(): string {
  return noted('XDG_STATE_HOME', ['.local', 'state'])
}

/** A folder for the notes of a command: a lasting one if the user has one or needs one, otherwise a temporary one. */
function noted(name: string, inHome: readonly string[]): string {
  const folder = variable(name)
  if (folder !== null) return join(folder, 'golooader')
  const { GOLOOADER_PORTAL, GOLOOADER_TOKEN } = process.env
  const needsNone = GOLOOADER_PORTAL && GOLOOADER_TOKEN
  const home = needsNone ? homeFolder() : requireHome()
  const inIt = home === null ? null : join(home, ...inHome, 'golooader')
  // Containers give a user without an entry in /etc/passwd the home /, where it must not write.
  return inIt === null || (needsNone && !canWriteBelow(inIt)) ? passingFolder() : inIt
}

/** Whether this user may create the folder, or write into it if it exists. */
function canWriteBelow(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch (error) {
    return hasCode(error, 'ENOENT') && folder !== dirname(folder) && canWriteBelow(dirname(folder))
  }
}

function variable(name: string): string | null {
  const value = process.env[name] ?? ''
  return isAbsolute(value) ? value : null
}

function requireHome(): string {
  const home = homeFolder()
  if (home !== null) return home
  throw profileProblem(
    'this user has no home folder: set XDG_CONFIG_HOME and XDG_STATE_HOME to folders of its own.\n' +
      'Or name the account in the environment: GOLOOADER_PORTAL, GOLOOADER_TOKEN and GOLOOADER_KEYS',
  )
}

function homeFolder(): string | null {
  const home = process.env.HOME ?? ''
  if (isAbsolute(home)) return home
  try {
    const { homedir } = userInfo()
    return isAbsolute(homedir) ? homedir : null
  } catch {
    // The system has no user with this number.
    return null
  }
}

/** Whether contacts, journal and receipts are deleted when this process ends, because its user has no folder to keep them in. */
export function isStateTemporary(): boolean {
  return passing !== null
}

let passing: string | null = null

/** A temporary folder with a name that no other process knows. It is made when something is written into it. */
function passingFolder(): string {
  if (passing === null) {
    const folder = resolve(tmpdir(), `golooader-${randomBytes(12).toString('hex')}`)
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    passing = folder
  }
  return passing
}

/** The problem that a profile or its files cannot be used. @param detail says what to do */
export function profileProblem(detail: string, options?: ErrorOptions): Problem {
  return new Problem('profile-unusable', { detail }, options)
}
