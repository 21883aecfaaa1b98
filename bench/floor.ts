/**
 * The floor: programs of this folder that verify, store, sync, rename and forward one file, and do nothing else. What a delivery costs beside
 * them is what the rest of GoLooader costs. They are held to the same content as all others.
 */
import { spawn } from 'node:child_process'
import { mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { choosePartSizeBytes } from '../src/protocol/index.ts'
import type { Contender } from './peers.ts'
import { end, mustRun, usageOf, usedSince } from './processes.ts'

const here = fileURLToPath(new URL('floor/', import.meta.url))

export async function floor(folder: string): Promise<Contender> {
  const parts = join(folder, 'parts')
  await mkdir(parts, { recursive: true })
  const server = spawn(process.execPath, [join(here, 'portal.js'), parts], { stdio: ['ignore', 'pipe', 'inherit'] })
  let port = ''
  for await (const line of createInterface({ input: server.stdout })) {
    port = line
    break
  }
  return {
    name: 'floor',
    async deliver(source, target) {
      const { size } = await stat(source)
      const partBytes = String(choosePartSizeBytes(size))
      const before = await usageOf(server.pid)
      const [sender, receiver] = await Promise.all([
        mustRun(process.execPath, [join(here, 'sender.js'), port, source, partBytes]),
        mustRun(process.execPath, [join(here, 'receiver.js'), port, target, String(size), partBytes]),
      ])
      // As a portal does with what has been delivered.
      await rm(parts, { recursive: true })
      await mkdir(parts)
      return { sender, receiver, middle: usedSince(before, await usageOf(server.pid)) }
    },
    [Symbol.asyncDispose]: () => end(server),
  }
}
