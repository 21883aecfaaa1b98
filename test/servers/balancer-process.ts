/**
 * A real load balancer, Debian's haproxy or nginx, in the foreground on a free port of loopback. Its configuration is the
 * one in `deploy/`, with nothing but addresses, and what a test adds, put in its place: so that cannot rot.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programPath, requireServer } from './install.ts'
import { freePort, isListening } from './server-process.ts'

const UNTIL_MS = 20_000

export const loadBalancerKinds = ['haproxy', 'nginx'] as const
export type LoadBalancerKind = (typeof loadBalancerKinds)[number]

/** The address of a node, `127.0.0.1:PORT`. */
export type Backend = string

export interface LoadBalancerOptions {
  readonly kind: LoadBalancerKind
  readonly backends: readonly Backend[]
  /** For its files; made if it does not exist. */
  readonly folder: string
  /** PEM files, to speak TLS; plain HTTP if not given. */
  readonly certificate?: { readonly certPath: string; readonly keyPath: string }
  /** Lines of the configuration that a test wants otherwise: what they begin with -> what stands there instead. */
  readonly instead?: Readonly<Record<string, string>>
}

export interface LoadBalancer extends AsyncDisposable {
  readonly url: string
  /** Of the process that was started; HAProxy's work is done by a child of it. */
  readonly pid: number | undefined
  /** What it said so far. */
  readonly log: string
  /** Serves these nodes from now on. Connections that there are stay with the old configuration. */
  reload(backends: readonly Backend[], instead?: LoadBalancerOptions['instead']): Promise<void>
  /** Waits for something that it has to come to. @throws Error with what it said when it does not */
  until(isIt: () => boolean | Promise<boolean>, what: string): Promise<void>
  /** Ends it, and every connection through it. */
  stop(): Promise<void>
}

/** Starts one. When this resolves, it listens. */
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
    const before = this.#workers
    this.#child.kill(this.#options.kind === 'haproxy' ? 'SIGUSR2' : 'SIGHUP')
    await this.until(() => this.#workers > before, 'it has read its configuration anew')
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

  /** How many worker processes it has said that it started. */
  get #workers(): number {
    return this.#log.match(/New worker .*forked|start worker process \d/g)?.length ?? 0
  }
}

/** What stands in `deploy/`, for this machine. @throws Error where a line that is to be replaced is not there */
async function configOf(options: LoadBalancerOptions, port: number): Promise<string> {
  const { kind, backends, folder, certificate, instead = {} } = options
  const file = kind === 'haproxy' ? 'haproxy.cfg' : 'nginx.conf'
  const text = await readFile(new URL(`../../deploy/${file}`, import.meta.url), 'utf8')
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

function nodeLine(line: string, kind: LoadBalancerKind, backend: Backend, index: number): string {
  const name = kind === 'haproxy' ? `node${index + 1} ` : ''
  return line.replace(/^( *server ).*?node\d:7878/, `$1${name}${backend}`)
}

function haproxyHere(port: number): Record<string, string> {
  return { 'bind :443': `bind 127.0.0.1:${port} alpn http/1.1` }
}

/** In the foreground, with everything in its folder. */
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

function replaced(lines: readonly string[], changes: Readonly<Record<string, string>>): string[] {
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
