/** Drop folders of alice, from which bob and others receive. */
import { mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { expect } from 'vitest'
import { hasCode } from '../../../src/fs/index.ts'
import { type Ended, type Running, until, World } from '../harness/world.ts'

/** Of the settling time. */
const PAUSE_SHARE = 0.3

/** What is in a drop folder, by path: the text of files. Files beside others, and the lock, are left out. */
export type Tree = Readonly<Record<string, string>>

export class Outbox {
  readonly world: World
  readonly folder: string

  /** @param name of a folder of the world, or a path */
  constructor(world: World, name = 'outbox-1') {
    this.world = world
    this.folder = resolve(world.folder, name)
    mkdirSync(this.folder, { recursive: true })
  }

  path(...names: string[]): string {
    return join(this.folder, ...names)
  }

  /** Writes a file where it is found, whole: a slow machine could make an empty one for the settling time. */
  write(name: string, text: string): void {
    const unfinished = this.path('.unfinished')
    writeFileSync(unfinished, text)
    mkdirSync(dirname(this.path(name)), { recursive: true })
    renameSync(unfinished, this.path(name))
  }

  /** Renames a file into the folder, which was written long ago. */
  drop(name: string, text: string): void {
    const elsewhere = this.world.path(`elsewhere-${name}`)
    writeFileSync(elsewhere, text)
    utimesSync(elsewhere, 1_700_000_000, 1_700_000_000)
    renameSync(elsewhere, this.path(name))
  }

  /** Starts to watch. Resolves when the folder is this process's. */
  async watch(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ): Promise<Running> {
    const running = this.start(args, env, wrapper)
    await running.object(({ type }) => type === 'watching')
    return running
  }

  start(
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
    wrapper: readonly string[] = [],
  ): Running {
    const to = args.includes('--to') ? [] : ['--to', 'bob']
    const given = args.includes('--settle') ? [] : ['--settle', '200ms']
    const all = ['watch', this.folder, ...to, ...given, '--profile', 'alice', '--json', ...args]
    return this.world.start(all, { env, wrapper })
  }

  /** Sends what is there. */
  once(...args: string[]): Promise<Ended> {
    return this.start(['--once', ...args]).ended
  }

  /** All files, without those beside others. */
  get files(): Tree {
    const found: Record<string, string> = {}
    for (const entry of readdirSync(this.folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name).slice(this.folder.length + 1)
      if (!entry.isFile() || /^\.sending\/(?:lock$|owner$|\.probe-)|\.(?:receipt|problem)\.(?:json|txt)$/.test(path))
        continue
      const text = textOf(join(this.folder, path))
      if (text !== null) found[path] = text
    }
    return found
  }

  /** The names of all files beside others. */
  get notes(): string[] {
    const names = readdirSync(this.folder, { recursive: true, encoding: 'utf8' })
    return names.filter((name) => /\.(?:receipt|problem)\.(?:json|txt)$/.test(name)).sort()
  }

  /** A folder may move while it is looked at: then it is looked at again. */
  #has(files: Tree): boolean {
    try {
      return sameTree(this.files, files)
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false
      throw error
    }
  }

  async expectFiles(files: Tree): Promise<void> {
    await until(() => this.#has(files), `the drop folder has ${JSON.stringify(files)}`).catch((error) => {
      expect(this.files, String(error)).toEqual(files)
    })
  }
}

/** @returns null for a file that has just been moved */
function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

function sameTree(one: Tree, other: Tree): boolean {
  return JSON.stringify(Object.entries(one).sort()) === JSON.stringify(Object.entries(other).sort())
}

/**
 * Takes steps with pauses that are shorter than the settling time. A machine that stands still makes a pause longer: then what is there
 * counts as complete, as it should, and other files are tried.
 *
 * @param step one of the steps, with the number of the try
 * @returns the number of the try whose pauses were short enough
 */
export async function stepsWithin(
  settleMs: number,
  stepCount: number,
  step: (at: number, tries: number) => void,
): Promise<number> {
  for (let tries = 1; ; tries++) {
    let longestMs = 0
    let beganMs = performance.now()
    for (let at = 1; at <= stepCount; at++) {
      step(at, tries)
      longestMs = Math.max(longestMs, performance.now() - beganMs)
      beganMs = performance.now()
      if (at < stepCount) await setTimeout(settleMs * PAUSE_SHARE)
    }
    if (longestMs < settleMs) return tries
  }
}

/** A world with a portal, in which everybody has joined. */
export async function outboxWorld(...portalArgs: string[]): Promise<World> {
  const world = await World.create()
  await world.portal(portalArgs)
  await world.join(['alice', 'bob', 'carol'])
  return world
}

/** What someone has received, by path. */
export function receivedBy(world: World, name: string): Tree {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(world.inbox(name), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name).slice(world.inbox(name).length + 1)
    if (entry.isFile() && !path.startsWith('.golooader'))
      found[path] = readFileSync(join(world.inbox(name), path), 'utf8')
  }
  return found
}

/** The transfers that alice has begun and not cancelled. */
export async function transfersOf(world: World): Promise<string[]> {
  const client = await world.client('alice')
  const { transfers } = await client.transfers({ limit: 100 })
  return transfers.filter(({ state }) => state !== 'cancelled').map(({ transferId }) => transferId)
}

/** What is left of the sender's own records. */
export function journalOf(world: World): string[] {
  const names = readdirSync(world.path('state', 'golooader'), { recursive: true, withFileTypes: true })
  const isRecord = (path: string): boolean => /\/journal\//.test(path) && !path.endsWith('.partial')
  return names
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(isRecord)
}
