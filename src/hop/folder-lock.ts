/**
 * One process per folder. The lock is a listening socket, which the system lets go of when its process ends, however
 * it ends: there is no stale lock to clean up after a crash, and no process id to be mistaken for another's.
 */
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '../protocol/index.ts'
import { hasCode } from './durable.ts'

const NAME_LENGTH = 32

/** Letting go is the only thing that one can do with a lock. */
export interface FolderLock {
  release(): Promise<void>
}

/**
 * The address whose listener owns a folder: an abstract socket on Linux, a named pipe on Windows, elsewhere a socket
 * file, which may be left over from a crash.
 *
 * @param realFolder with symbolic links resolved, so that a folder has one lock
 */
export function lockAddress(realFolder: string, platform: NodeJS.Platform = process.platform): string {
  const name = `golooader.${createHash('sha256').update(realFolder).digest('hex').slice(0, NAME_LENGTH)}`
  if (platform === 'linux') return `\0${name}`
  if (platform === 'win32') return `\\\\.\\pipe\\${name}`
  return join(tmpdir(), name)
}

/** @throws Problem `folder-unavailable` when another process has the folder */
export async function lockFolder(realFolder: string, address = lockAddress(realFolder)): Promise<FolderLock> {
  let server = await listen(address)
  if (server === null && isSocketFile(address) && (await isStale(address))) {
    await rm(address, { force: true })
    server = await listen(address)
  }
  if (server === null) {
    throw new Problem('folder-unavailable', { detail: `another process is using ${realFolder}` })
  }
  const locked = server
  return { release: () => new Promise((resolve) => locked.close(() => resolve())) }
}

/** @returns null when somebody listens, or listened, there already */
function listen(address: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    // Whoever connects only wants to know whether this process lives.
    const server = createServer((socket) => socket.destroy())
    server.once('error', (error) => {
      if (hasCode(error, 'EADDRINUSE')) resolve(null)
      else reject(error)
    })
    server.listen({ path: address }, () => resolve(server))
  })
}

function isSocketFile(address: string): boolean {
  return !address.startsWith('\0') && !address.startsWith('\\\\')
}

function isStale(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: address })
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', (error) => resolve(hasCode(error, 'ECONNREFUSED')))
  })
}
