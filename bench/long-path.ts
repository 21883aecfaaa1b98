/** A long way between clients and a portal on one machine: two network namespaces with netem, or a delaying proxy. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { end, run } from './processes.ts'

const DELAY_MS = 50
const BITS_PER_SECOND = 1e9
const BITS_PER_BYTE = 8
/** More than one round trip holds, so that no packet is lost in the delay itself. */
const PACKETS_MAX = 50_000
const FAR_ADDRESS = '10.211.0.1'
const NEAR_ADDRESS = '10.211.0.2'

export interface Path extends AsyncDisposable {
  readonly name: string
  /** What a command of the one end, and of the other, is run by. */
  readonly near: readonly string[]
  readonly far: readonly string[]
  /** Where the portal has to listen. */
  readonly listen: string
  /** How clients reach it. */
  url(portalUrl: string): Promise<string>
}

export const loopback: Path = {
  name: 'loopback',
  near: [],
  far: [],
  listen: '127.0.0.1:0',
  url: async (portalUrl) => portalUrl,
  async [Symbol.asyncDispose]() {},
}

/** The long path, as true as this machine allows. @param tell is told why it is not the real thing, if it is not */
export async function longPath(tell: (why: string) => void): Promise<Path> {
  const stack = new AsyncDisposableStack()
  try {
    return await namespaces(stack)
  } catch (error) {
    await stack.disposeAsync()
    tell(`${error instanceof Error ? error.message.trim() : error}`)
    return proxied()
  }
}

/** @throws Error where that is not allowed, or the kernel has no netem */
async function namespaces(stack: AsyncDisposableStack): Promise<Path> {
  const [far, near] = ['far', 'near'].map((end) => `golooader-${process.pid}-${end}`) as [string, string]
  const ends = [
    { name: far, device: 'far0', address: FAR_ADDRESS },
    { name: near, device: 'near0', address: NEAR_ADDRESS },
  ]
  for (const { name } of ends) {
    await ip('netns', 'add', name)
    stack.defer(() => ip('netns', 'delete', name))
  }
  await ip('-n', far, 'link', 'add', 'far0', 'type', 'veth', 'peer', 'name', 'near0', 'netns', near)
  for (const { name, device, address } of ends) {
    await ip('-n', name, 'link', 'set', 'lo', 'up')
    await ip('-n', name, 'address', 'add', `${address}/24`, 'dev', device)
    await ip('-n', name, 'link', 'set', device, 'up')
    const late = ['delay', `${DELAY_MS}ms`, 'rate', `${BITS_PER_SECOND}bit`, 'limit', String(PACKETS_MAX)]
    await mustSucceed('tc', '-n', name, 'qdisc', 'add', 'dev', device, 'root', 'netem', ...late)
  }
  return {
    name: '100 ms, 1 Gbit/s (netem)',
    near: ['ip', 'netns', 'exec', near],
    far: ['ip', 'netns', 'exec', far],
    listen: '0.0.0.0:7878',
    url: async () => `http://${FAR_ADDRESS}:7878`,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function proxied(): Path {
  const children: ChildProcess[] = []
  return {
    ...loopback,
    name: '100 ms, 1 Gbit/s (delaying proxy)',
    async url(portalUrl) {
      const program = fileURLToPath(new URL('roles/delaying-proxy.ts', import.meta.url))
      const args = [new URL(portalUrl).port, String(DELAY_MS), String(BITS_PER_SECOND / BITS_PER_BYTE)]
      const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
      children.push(child)
      for await (const line of createInterface({ input: child.stdout })) {
        return `http://127.0.0.1:${line.replace('listening on ', '')}`
      }
      throw new Error('the proxy ended')
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) await end(child)
    },
  }
}

function ip(...args: string[]): Promise<void> {
  return mustSucceed('ip', ...args)
}

async function mustSucceed(command: string, ...args: string[]): Promise<void> {
  const { code, output } = await run(command, args)
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${output}`)
}
