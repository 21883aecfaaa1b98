/** Portals over PostgreSQL and S3 behind HAProxy, as one; and what all of that has used and done. */
import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LoadBalancer, startLoadBalancer } from '../test/servers/balancer-process.ts'
import { psql } from '../test/servers/postgres.ts'
import type { TestBucket } from '../test/servers/radosgw.ts'
import { runningProcesses } from '../test/servers/run.ts'
import { program } from './portal-process.ts'
import { end, freePort, startBackground, together, treeCpuMs, type Usage, usageOf } from './processes.ts'
import type { WorldPortal } from './world.ts'

export interface SeveralOptions {
  readonly nodes: number
  readonly databaseUrl: string
  readonly bucket: TestBucket
  /** For every portal. */
  readonly flags: readonly string[]
  /** For the load balancer's files. */
  readonly folder: string
}

export class SeveralPortals implements WorldPortal {
  readonly nodeUrls: readonly string[]
  readonly #nodes: readonly ChildProcess[]
  readonly #balancer: LoadBalancer

  private constructor(balancer: LoadBalancer, nodes: readonly ChildProcess[], nodeUrls: readonly string[]) {
    this.#balancer = balancer
    this.#nodes = nodes
    this.nodeUrls = nodeUrls
  }

  /** Starts all of them. When this resolves, the load balancer has found every one. */
  static async start({ nodes, databaseUrl, bucket, flags, folder }: SeveralOptions): Promise<SeveralPortals> {
    await using opening = new AsyncDisposableStack()
    const backends: string[] = []
    while (backends.length < nodes) backends.push(`127.0.0.1:${await freePort()}`)
    const balancer = opening.use(
      await startLoadBalancer({ kind: 'haproxy', backends, folder: join(folder, 'haproxy') }),
    )
    const shared = ['--database', databaseUrl, '--store', bucket.address, '--public-url', balancer.url]
    const env = { PATH: process.env.PATH, ...bucket.env }
    const children = await Promise.all(
      backends.map(async (listen) => {
        const command = ['portal', '--listen', listen, ...shared, '--log-level', 'silent', ...flags]
        const child = await startBackground('listening', process.execPath, [program, ...command], { env })
        opening.defer(() => end(child))
        return child
      }),
    )
    await balancer.until(() => servesBy(balancer.url), 'it has found a node')
    opening.move()
    return new SeveralPortals(
      balancer,
      children,
      backends.map((backend) => `http://${backend}`),
    )
  }

  get url(): string {
    return this.#balancer.url
  }

  async usage(): Promise<Usage> {
    return together(await Promise.all(this.#nodes.map(({ pid }) => usageOf(pid))))
  }

  balancerCpuMs(): Promise<number> {
    return treeCpuMs(this.#balancer.pid)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#balancer.stop()
    await Promise.all(this.#nodes.map(end))
  }
}

/** What a portal counts of itself, of several together: the name of a figure, with its labels, -> its value. */
export async function countersOf(urls: readonly string[]): Promise<Map<string, number>> {
  const counters = new Map<string, number>()
  for (const url of urls) {
    const text = await (await fetch(`${url}/metrics`)).text()
    for (const [, name = '', value] of text.matchAll(/^(golooader_\S+) (\S+)$/gm)) {
      counters.set(name, (counters.get(name) ?? 0) + Number(value))
    }
  }
  return counters
}

/** What the servers behind the portals have used so far, in milliseconds of processor time. */
export async function serversCpuMs(): Promise<{ postgres: number; s3: number }> {
  const used = { postgres: 0, s3: 0 }
  for (const { pid } of runningProcesses()) {
    const name = (await readFile(`/proc/${pid}/comm`, 'utf8')).trim()
    if (name === 'postgres') used.postgres += await treeCpuMs(pid)
    else if (['radosgw', 'ceph-osd', 'ceph-mon'].includes(name)) used.s3 += await treeCpuMs(pid)
  }
  return used
}

/** What PostgreSQL has written so far. */
export async function databaseFigures(url: string): Promise<{ walBytes: number; sizeBytes: number }> {
  const statement = "select pg_current_wal_lsn() - '0/0', pg_database_size(current_database())"
  const [walBytes, sizeBytes] = (await psql(url, statement)).split('|').map(Number)
  return { walBytes: walBytes ?? Number.NaN, sizeBytes: sizeBytes ?? Number.NaN }
}

async function servesBy(url: string): Promise<boolean> {
  const answer = await fetch(`${url}/readyz`).catch(() => null)
  await answer?.body?.cancel()
  return answer?.status === 200
}
