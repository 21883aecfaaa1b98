/** Programs that import the library by its name, each in a process of its own. */
import { spawn } from 'node:child_process'
import { cp, mkdir } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import { Running, type World } from '../e2e/harness/world.ts'

const hook = new URL('source-entry.mjs', import.meta.url).href

interface ProgramOptions {
  /** Options of Node. */
  readonly node?: readonly string[]
  readonly hasInput?: boolean
}

/** Starts a program as a person with one profile, or without any. */
export async function startProgram(
  world: World,
  [path, ...args]: readonly [string, ...string[]],
  person: string | null,
  { node = [], hasInput = false }: ProgramOptions = {},
): Promise<Running> {
  const config = world.path(`home-${person}`)
  if (person !== null) {
    const file = `golooader/profiles/${person}.json`
    await mkdir(config, { recursive: true })
    await cp(world.path('config', file), `${config}/${file}`)
  }
  const env = {
    PATH: process.env.PATH,
    HOME: world.folder,
    TMPDIR: world.folder,
    XDG_CONFIG_HOME: config,
    XDG_STATE_HOME: `${config}/state`,
  }
  const child = spawn(process.execPath, ['--import', hook, ...node, path, ...args], {
    ...{ env, cwd: world.folder },
    stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'],
  })
  const running = new Running(child)
  onTestFinished(async () => {
    await running.stop('SIGKILL')
  })
  return running
}
