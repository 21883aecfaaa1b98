/**
 * A real load balancer, Debian's haproxy or nginx, in the foreground on a free port of loopback. It runs the configuration from
 * `deploy/` with changed addresses and the changes of the test, so that the tests notice when that configuration breaks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { freePort, isListening } from './server-process.ts'

const UNTIL_MS = 90_000

export const loadBalancerKinds = ['haproxy', 'nginx'] as const
export type LoadBalancerKind = (typeof loadBalancerKinds)[number]

/** The address of a node, `127.0.0.1:PORT`. */
export type Backend = string

export interface LoadBalancerOptions {
  readonly kind: LoadBalancerKind
  readonly backends: readonly Backend[]
  /** The folder for its files. It is created if it does not exist. */
  readonly folder: string
  /** Whether the load balancer serves the portal under `/gl/`. */
  readonly isUnderPath?: boolean
  /** PEM files for TLS. Without them the load balancer speaks plain HTTP. */
  readonly certificate?: { readonly certPath: string; readonly keyPath: string }
  /** Replaces lines of the configuration: beginning of the line -> new line. */
  readonly instead?: Readonly<Record<string, string>>
}

export interface LoadBalancer extends AsyncDisposable {
  readonly url: string
  /** The process that the test started. HAProxy works in a child of it. */
  readonly pid: number | undefined
  /** Its output so far. */
  readonly log: string
  /** Serves these nodes from now on. Open connections keep the old configuration. */
  reload(backends: readonly Backend[], instead?: LoadBalancerOptions['instead']): Promise<void>
  /** Waits until the condition holds. @throws Error with the load balancer's output when it does not in time */
  until(isIt: () => boolean | Promise<boolean>, what: string): Promise<void>
  /** Ends the load balancer and every connection through it. */
  stop(): Promise<void>
}

/** Starts a load balancer. Resolves when it listens. */
export async function startLoadBalancer(options: LoadBalancerOptions): Promise<LoadBalancer> {
  const { kind, folder } = options
  await requireServer(kind)
  await mkdir(folder, { recursive: true })
  const port = await freePort()
  const path = join(folder, `${kind}.conf`)
  await writeFile(path, await configOf(options, port))
  const child = spawn(
    programPath(kind),
    kind === 'haproxy' ? ['-W', '-f', path] : ['-e', 'stderr', '-p', folder, '-c', path],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const balancer = new Process(child, port, options, path)
  try {
    await balancer.until(() => isListening(port), 'it listens')
    return balancer
  } catch (error) {
    await balancer.stop()
    throw error
  }
}

class Process implements LoadBalancer {
  readonly url: string
  readonly #child: ChildProcess
  readonly #port: number
  readonly #options: LoadBalancerOptions
  readonly #path: string
  readonly #ended: Promise<unknown>
  #log = ''

  constructor(child: ChildProcess, port: number, options: LoadBalancerOptions, path: string) {
    this.url = `${options.certificate === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
    this.#child = child
    this.#port = port
    this.#options = options
    this.#path = path
    const note = (text: Buffer): void => {
      this.#log += text
    }
    child.stdout?.on('data', note)
    child.stderr?.on('data', note)
    this.#ended = new Promise((resolve) => child.once('close', resolve))
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get log(): string {
    return this.#log
  }

  async reload(backends: readonly Backend[], instead = this.#options.instead): Promise<void> {
    const options = { ...this.#options, backends, ...(instead === undefined ? {} : { instead }) }
    await writeFile(this.#path, await configOf(options, this.#port))
    await this.until(() => this.#workers > 0, 'it has started')
    const before = this.#workers
    this.#child.kill(this.#options.kind === 'haproxy' ? 'SIGUSR2' : 'SIGHUP')
    await this.until(() => this.#workers > before, 'it has read its configuration again')
    // nginx may give a new connection to its old worker until that has closed its listening socket.
    if (this.#options.kind === 'nginx') await this.until(() => this.#retired >= before, 'its old worker takes no more')
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGTERM')
    await this.#ended
  }

  async until(isIt: () => boolean | Promise<boolean>, what: string): Promise<void> {
    const deadline = performance.now() + UNTIL_MS
    while (!(await isIt())) {
      const { exitCode, signalCode } = this.#child
      if (exitCode !== null || signalCode !== null || performance.now() > deadline) {
        throw new Error(`${this.#options.kind} did not come to this: ${what}\n${this.#log}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** How many workers of nginx accept no more connections. */
  get #retired(): number {
    return this.#log.split('gracefully shutting down').length - 1
  }

  /** How many worker processes it has started, by its own output. Before it says so, haproxy loses a signal to reload. */
  get #workers(): number {
    return this.#log.match(/Loading success|start worker process \d/g)?.length ?? 0
  }
}

/** The configuration from `deploy/`, adapted to this machine. @throws Error when it lacks a line to replace */
async function configOf(options: LoadBalancerOptions, port: number): Promise<string> {
  const { kind, backends, folder, certificate, instead = {} } = options
  const file = kind === 'haproxy' ? 'haproxy.cfg' : 'nginx.conf'
  const text = await deployed(file, options.isUnderPath)
  const node = /^( *server )(?:node\d )?node\d:7878/
  const lines: string[] = []
  let nodes = 0
  for (const line of text.split('\n')) {
    if (!node.test(line)) lines.push(line)
    else if (nodes++ === 0) lines.push(...backends.map((backend, index) => nodeLine(line, kind, backend, index)))
  }
  const changes = { ...(kind === 'haproxy' ? haproxyHere(port) : nginxHere(port, folder)), ...instead }
  const secure = certificate === undefined ? [] : [`${certificate.certPath}`, `${certificate.keyPath}`]
  if (kind === 'haproxy' && certificate !== undefined) {
    const both = join(folder, 'both.pem')
    await writeFile(both, (await Promise.all(secure.map((path) => readFile(path, 'utf8')))).join('\n'))
    changes['bind :443'] = `bind 127.0.0.1:${port} ssl crt ${both} alpn http/1.1`
  } else if (certificate !== undefined) {
    changes['listen 443'] = `listen 127.0.0.1:${port} ssl;`
    changes['ssl_certificate '] = `ssl_certificate ${certificate.certPath};`
    changes.ssl_certificate_key = `ssl_certificate_key ${certificate.keyPath};`
  }
  return replaced(lines, changes).join('\n')
}

/**
 * A configuration from `deploy/`, for a portal with its own host name. The lines after `instead:` turn it into one for a portal under
 * the path `/gl/`.
 */
export async function deployed(file: string, isUnderPath = false): Promise<string> {
  const text = await readFile(new URL(`../../deploy/${file}`, import.meta.url), 'utf8')
  const result = isUnderPath ? text.replaceAll(/^([ \t]*)# instead: (.*)\n.*$/gm, '$1$2') : text
  if (isUnderPath && result === text) throw new Error(`deploy/${file} has no lines for a portal under a path`)
  return result
}

function nodeLine(line: string, kind: LoadBalancerKind, backend: Backend, index: number): string {
  const name = kind === 'haproxy' ? `node${index + 1} ` : ''
  return line.replace(/^( *server ).*?node\d:7878/, `$1${name}${backend}`)
}

function haproxyHere(port: number): Record<string, string> {
  return { 'bind :443': `bind 127.0.0.1:${port} alpn http/1.1` }
}

/** Replacements that make nginx run in the foreground, with all its files in its folder. */
function nginxHere(port: number, folder: string): Record<string, string> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const paths = temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')
  const user = process.getuid?.() === 0 ? 'user root; ' : ''
  return {
    'worker_processes auto;': `${user}daemon off; pid ${join(folder, 'pid')}; error_log stderr notice; worker_processes 1;`,
    'access_log off;': `access_log off; ${paths}`,
    'listen 443': `listen 127.0.0.1:${port};`,
    'ssl_certificate ': '',
    ssl_certificate_key: '',
  }
}

/** Replaces each line that begins with a key of `changes`. @throws Error when no line begins with a key */
export function replaced(lines: readonly string[], changes: Readonly<Record<string, string>>): string[] {
  const unused = new Set(Object.keys(changes))
  const result = lines.map((line) => {
    const found = Object.entries(changes).find(([start]) => line.trimStart().startsWith(start))
    if (found === undefined) return line
    unused.delete(found[0])
    return line.replace(/\S.*/, () => found[1])
  })
  if (unused.size > 0) throw new Error(`deploy/ has no line that begins with: ${[...unused].join(', ')}`)
  return result
}
