/** Running commands, and what they cost. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'

/** In which Linux counts the time of processes (man 5 proc). */
const TICK_MS = 10
const SAMPLE_MS = 50
const KIB = 1024
const LISTENING_TRIES_MAX = 400
const LISTENING_PAUSE_MS = 25

/** Where commands keep compiled code between runs, as they do for anybody who has run one before. */
export const cacheFolder = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache')

/** What a process has used. */
export interface Usage {
  readonly cpuMs: number
  /** The most memory that it has held at a time. */
  readonly peakBytes: number
}

/** How a command ended. */
export interface Ended extends Usage {
  readonly code: number | null
  readonly output: string
}

/** Runs a command to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Ended> {
  // In a shell of its own, which tells the time of its child when that has ended.
  const timed = ['-c', '"$0" "$@"; code=$?; times >&3; exit $code', command, ...args]
  const child = spawn('bash', timed, { ...options, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] })
  const texts = ['', '', '', '']
  for (const fd of [1, 2, 3]) child.stdio[fd]?.on('data', (data) => (texts[fd] += String(data)))
  let peakBytes = 0
  const sampler = setInterval(() => {
    peakOfChildren(child.pid).then(
      (bytes) => (peakBytes = Math.max(peakBytes, bytes)),
      () => {},
    )
  }, SAMPLE_MS)
  const [code]: (number | null)[] = await once(child, 'close')
  clearInterval(sampler)
  return { code: code ?? null, output: `${texts[1]}${texts[2]}`, cpuMs: childTimesMs(texts[3] ?? ''), peakBytes }
}

/** Runs a command to its end, which has to be a good one. */
export async function mustRun(...args: Parameters<typeof run>): Promise<Ended> {
  const ended = await run(...args)
  if (ended.code !== 0) throw new Error(`${args[0]} ended with ${ended.code}:\n${ended.output}`)
  return ended
}

/** Starts a command that keeps running. Resolves once a line of its output has the word that says it is ready. */
export async function startBackground(
  readyWord: string,
  command: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<ChildProcess> {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] })
  let isReady = false
  for await (const line of createInterface({ input: child.stdout })) {
    isReady = line.includes(readyWord)
    if (isReady) break
  }
  if (!isReady) throw new Error(`${command} ${args.join(' ')} ended before it was ready`)
  child.stdout.resume()
  return child
}

/** Whether a command is installed. */
export async function isInstalled(command: string): Promise<boolean> {
  return (await run('which', [command])).code === 0
}

/** What a running process has used so far. */
export async function usageOf(pid: number | undefined): Promise<Usage> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { cpuMs: (Number(fields[11]) + Number(fields[12])) * TICK_MS, peakBytes: await peakOf(pid) }
}

/** What a running process has used so far, and its children with it, those that have ended as well. */
export async function treeCpuMs(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null)
  if (stat === null) return 0
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ownMs = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * TICK_MS, 0)
  const children = await childrenOf(pid)
  const childrenMs = await Promise.all(children.map((child) => treeCpuMs(Number(child))))
  return childrenMs.reduce((sum, ms) => sum + ms, ownMs)
}

/** What it used since an earlier look at it. */
export function usedSince(before: Usage, now: Usage): Usage {
  return { cpuMs: now.cpuMs - before.cpuMs, peakBytes: now.peakBytes }
}

/** Of several processes together: their processor time, and the most memory that any of them has held. */
export function together(usages: readonly Usage[]): Usage {
  return {
    cpuMs: usages.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    peakBytes: Math.max(...usages.map(({ peakBytes }) => peakBytes)),
  }
}

/** What a running process holds in memory now. */
export async function residentBytesOf(pid: number | undefined): Promise<number> {
  return memoryOf(pid, 'VmRSS')
}

/** Ends a process and waits for that. */
export async function end(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** A port of the loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

/** Resolves once something listens at a port of the loopback. */
export async function listening(port: number): Promise<void> {
  for (let tries = 0; tries < LISTENING_TRIES_MAX; tries++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (isOpen) return
    await setTimeout(LISTENING_PAUSE_MS)
  }
  throw new Error(`nothing listens at port ${port}`)
}

function peakOf(pid: number | string | undefined): Promise<number> {
  return memoryOf(pid, 'VmHWM')
}

async function memoryOf(pid: number | string | undefined, field: 'VmHWM' | 'VmRSS'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * KIB
}

/** Those that its first thread has started. */
async function childrenOf(pid: number | string | undefined): Promise<string[]> {
  const pids = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  return pids.trim().split(' ').filter(Boolean)
}

/** The most that any of its descendants has held. */
async function peakOfChildren(pid: number | string | undefined): Promise<number> {
  const peaks = (await childrenOf(pid)).map(async (child) => Math.max(await peakOf(child), await peakOfChildren(child)))
  return Math.max(0, ...(await Promise.all(peaks)))
}

/** The second line of `times`: user and system time of the shell's children. */
function childTimesMs(text: string): number {
  const line = text.trim().split('\n')[1] ?? ''
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + Number(m) * 60_000 + Number(s) * 1000,
    0,
  )
}
