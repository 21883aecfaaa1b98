/** One delivery of one file, by GoLooader or by another program: how long it takes, what it costs, and that it is the file. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFile, sha256Of } from './figures.ts'
import type { Contender } from './peers.ts'
import { program } from './portal-process.ts'
import { mustRun, type Usage, usedSince } from './processes.ts'
import type { BenchWorld } from './world.ts'

export interface Sample {
  readonly wallMs: number
  /** Of each process, by its part in it. */
  readonly usage: Record<string, Usage>
}

/** What is delivered, again and again. */
export interface Content {
  readonly folder: string
  readonly path: string
  readonly digest: string
}

export async function makeContent(folder: string, mib: number): Promise<Content> {
  const path = join(folder, 'source.bin')
  await makeFile(path, mib)
  return { folder, path, digest: await sha256Of(path) }
}

/** @throws Error when what was delivered is not what was sent */
export async function measured(contender: Contender, { folder, path, digest }: Content): Promise<Sample> {
  const target = join(folder, 'target.bin')
  const startedAtMs = performance.now()
  const usage = await contender.deliver(path, target)
  const wallMs = performance.now() - startedAtMs
  const delivered = contender.takeDelivered === undefined ? target : await contender.takeDelivered()
  if ((await sha256Of(delivered)) !== digest) {
    throw new Error(`${contender.name}: what was delivered is not what was sent`)
  }
  await rm(delivered)
  return { wallMs, usage }
}

/** `golooader send` to the receiver of that world. */
export function ours(name: string, world: BenchWorld, args: readonly string[] = []): Contender {
  return {
    name,
    takeDelivered: () => world.takeDelivered(),
    async deliver(path) {
      const before = await world.usage()
      const sender = await world.send(path, args)
      if (sender.code !== 0) throw new Error(`send ended with ${sender.code}:\n${sender.output}`)
      const after = await world.usage()
      const since = (one: 'portal' | 'receiver'): Usage => ({
        cpuMs: after[one].cpuMs - before[one].cpuMs,
        peakBytes: after[one].peakBytes,
      })
      return { sender, middle: since('portal'), receiver: since('receiver') }
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** `cat | golooader send -` to `golooader receive --to-stdout`, each begun for the one delivery. Nothing else receives for bob in that world. */
export function oursStreamed(name: string, world: BenchWorld, args: readonly string[] = []): Contender {
  const inShell = (account: string, script: string, ...rest: string[]) =>
    mustRun('sh', ['-c', script, process.execPath, program, ...rest], {
      env: world.env(account),
      cwd: world.home(account),
    })
  return {
    name,
    async deliver(source, target) {
      const before = await world.portal.usage()
      const send = 'from=$2; golooader=$1; shift 2; cat "$from" | "$0" "$golooader" send - --name stream --to bob "$@"'
      const [sender, receiver] = await Promise.all([
        inShell('alice', send, source, ...args),
        inShell('bob', '"$0" "$1" receive --once --to-stdout > "$2"', target),
      ])
      return { sender, receiver, middle: usedSince(before, await world.portal.usage()) }
    },
    async [Symbol.asyncDispose]() {},
  }
}
