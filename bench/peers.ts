/** What others use to get a file from one machine to another by way of a third. */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { end, freePort, isInstalled, listening, mustRun, run, type Usage, usageOf, usedSince } from './processes.ts'

/** One way to get a file there. */
export interface Contender extends AsyncDisposable {
  readonly name: string
  /** Brings the content of `source` to `target`. @returns what each process used, by its part in it */
  deliver(source: string, target: string): Promise<Record<string, Usage>>
  /** For one that does not bring it to `target`. @returns where it is instead */
  takeDelivered?(): Promise<string>
}

/** One that cannot be measured here. */
export interface Missing {
  readonly name: string
  readonly why: string
}

const here = fileURLToPath(new URL('.', import.meta.url))

/** All peers, those that are missing with the reason. */
export async function peers(folder: string): Promise<(Contender | Missing)[]> {
  const found: (Contender | Missing)[] = []
  const isThere = (await isInstalled('curl')) && (await isInstalled('nginx')) && (await isInstalled('rsync'))
  const hasPackages = existsSync(join(here, 'node_modules'))
  if (!hasPackages) found.push({ name: 'piping-server, tus', why: 'not installed: npm ci in bench/' })
  if (!isThere)
    found.push({ name: 'curl, nginx, rsync', why: 'not all are installed: apt-get install curl nginx rsync' })
  else found.push(await nginx(join(folder, 'nginx')), await rsync(join(folder, 'rsync')))
  if (isThere && hasPackages) found.push(await pipe(), await tus(join(folder, 'tus')))
  found.push(await wormhole(join(folder, 'wormhole')))
  return found
}

/** piping-server, which pipes the body of one request into the answer of another. */
export async function pipingServer(): Promise<{ readonly server: ChildProcess; readonly url: string } | null> {
  const program = join(here, 'node_modules/.bin/piping-server')
  if (!existsSync(program)) return null
  const port = await freePort()
  const server = spawn(process.execPath, [program, '--host', '127.0.0.1', '--http-port', String(port)], {
    stdio: 'ignore',
  })
  await listening(port)
  return { server, url: `http://127.0.0.1:${port}/file` }
}

async function pipe(): Promise<Contender | Missing> {
  const name = 'piping-server'
  const piping = await pipingServer()
  if (piping === null) return { name, why: 'not installed: npm ci in bench/' }
  const { server, url } = piping
  return served(name, server, async (source, target) => {
    const [sender, receiver] = await Promise.all([
      mustRun('curl', ['-sfT', source, url]),
      mustRun('curl', ['-sfo', target, url]),
    ])
    return { sender, receiver }
  })
}

/** Stores a file, and gives it back: no digest, no sync. */
export async function nginx(folder: string): Promise<Contender> {
  const port = await freePort()
  await mkdir(join(folder, 'files'), { recursive: true })
  const config = `
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
    http {
      access_log off; sendfile on; client_max_body_size 0; client_body_temp_path ${folder}/body;
      server { listen 127.0.0.1:${port}; location / { root ${folder}/files; dav_methods PUT DELETE; } }
    }`
  await writeFile(join(folder, 'nginx.conf'), config)
  const server = spawn('nginx', ['-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  await listening(port)
  return served('nginx PUT + GET', server, async (source, target) => {
    const url = `http://127.0.0.1:${port}/${basename(source)}`
    const sender = await mustRun('curl', ['-sfT', source, url])
    const receiver = await mustRun('curl', ['-sfo', target, url])
    await mustRun('curl', ['-sfX', 'DELETE', url])
    return { sender, receiver }
  })
}

async function rsync(folder: string): Promise<Contender> {
  const port = await freePort()
  const files = join(folder, 'files')
  await mkdir(files, { recursive: true })
  const config = `port = ${port}\naddress = 127.0.0.1\nuse chroot = no\n[files]\npath = ${files}\nread only = no\nuid = 0\ngid = 0\n`
  await writeFile(join(folder, 'rsyncd.conf'), config)
  const server = spawn('rsync', ['--daemon', '--no-detach', `--config=${join(folder, 'rsyncd.conf')}`], {
    stdio: 'ignore',
  })
  await listening(port)
  // The daemon's work is done by children of it, whose time is not seen from outside.
  return served('rsync push + pull', server, async (source, target) => {
    const url = `rsync://127.0.0.1:${port}/files/`
    const sender = await mustRun('rsync', ['--whole-file', source, url])
    const receiver = await mustRun('rsync', ['--whole-file', url + basename(source), target])
    await rm(join(files, basename(source)))
    return { sender, receiver }
  })
}

async function tus(folder: string): Promise<Contender> {
  await mkdir(folder, { recursive: true })
  const server = spawn(process.execPath, [join(here, 'peers/tus-server.js'), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let port = ''
  for await (const line of createInterface({ input: server.stdout })) {
    port = line
    break
  }
  return served('tus + GET', server, async (source, target) => {
    const endpoint = `http://127.0.0.1:${port}/files`
    const sender = await mustRun(process.execPath, [join(here, 'peers/tus-send.js'), endpoint, source])
    const url = sender.output.trim()
    const receiver = await mustRun('curl', ['-sfo', target, url])
    await rm(join(folder, basename(url)))
    return { sender, receiver }
  })
}

/**
 * By way of its transit relay, as between two machines behind NAT: its direct way listens on every address of the machine.
 * A mailbox server of its own introduces the two to each other. It encrypts, and verifies one digest over the whole.
 */
async function wormhole(folder: string): Promise<Contender | Missing> {
  const packages = ['magic-wormhole', 'python3-magic-wormhole-mailbox-server', 'magic-wormhole-transit-relay']
  if (!(await areInstalled(packages))) {
    return { name: 'magic-wormhole', why: `not all is installed: apt-get install ${packages.join(' ')}` }
  }
  await mkdir(folder, { recursive: true })
  const options = { cwd: folder, env: { PATH: process.env.PATH, HOME: folder } }
  const [mailboxPort, relayPort] = [await freePort(), await freePort()]
  const server = (name: string, port: number, ...args: string[]) =>
    spawn('twist3', [name, `--port=tcp:${port}:interface=127.0.0.1`, ...args], { ...options, stdio: 'ignore' })
  const mailbox = server('wormhole-mailbox', mailboxPort, '--channel-db=:memory:')
  const relay = server('transitrelay', relayPort)
  await Promise.all([listening(mailboxPort), listening(relayPort)])
  const way = [`--relay-url=ws://127.0.0.1:${mailboxPort}/v1`, `--transit-helper=tcp:127.0.0.1:${relayPort}`]
  let count = 0
  const contender = served('magic-wormhole, by its relay', relay, async (source, target) => {
    const code = `${++count}-bench-bench`
    const quiet = ['--hide-progress', '--no-listen']
    const [sender, receiver] = await Promise.all([
      mustRun('wormhole', [...way, 'send', ...quiet, '--code', code, source], options),
      mustRun('wormhole', [...way, 'receive', ...quiet, '--accept-file', '-o', target, code], options),
    ])
    return { sender, receiver }
  })
  const dispose = async (): Promise<void> => {
    await end(mailbox)
    await end(relay)
  }
  return { ...contender, [Symbol.asyncDispose]: dispose }
}

async function areInstalled(packages: readonly string[]): Promise<boolean> {
  return (await run('dpkg', ['-s', ...packages])).code === 0
}

/** What a program writes, by way of the pipe of piping-server. */
export async function pipedStream(): Promise<Contender | Missing> {
  const name = 'cat, curl -T - → piping-server → curl'
  const piping = await pipingServer()
  if (piping === null || !(await isInstalled('curl'))) {
    await (piping === null ? null : end(piping.server))
    return { name, why: 'not installed: curl, and npm ci in bench/' }
  }
  const { server, url } = piping
  return served(name, server, async (source, target) => {
    const [sender, receiver] = await Promise.all([
      mustRun('sh', ['-c', 'cat "$1" | curl -sfT - "$2"', 'sh', source, url]),
      mustRun('sh', ['-c', 'curl -sf "$1" > "$2"', 'sh', url, target]),
    ])
    return { sender, receiver }
  })
}

/** A contender with a server in the middle, whose processor time is what it used during the delivery. */
function served(
  name: string,
  server: ChildProcess,
  deliver: (source: string, target: string) => Promise<Record<string, Usage>>,
): Contender {
  return {
    name,
    async deliver(source, target) {
      const before = await usageOf(server.pid)
      const ends = await deliver(source, target)
      return { ...ends, middle: usedSince(before, await usageOf(server.pid)) }
    },
    [Symbol.asyncDispose]: () => end(server),
  }
}
