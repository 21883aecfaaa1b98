/**
 * Several portals over one PostgreSQL and one S3 store, behind a real load balancer. Each node can be stopped and
 * started. Senders and receivers know only the address of the load balancer.
 */

import { type LoadBalancer, type LoadBalancerKind, loadBalancer } from '../../servers/load-balancer.ts'
import { type TestDatabase, testDatabase } from '../../servers/postgres.ts'
import { type TestBucket, testBucket } from '../../servers/radosgw.ts'
import { freePort } from '../../servers/server-process.ts'
import { type Running, World } from './world.ts'

export interface ClusterOptions {
  readonly nodes?: number
  readonly kind?: LoadBalancerKind
  readonly database?: Pick<TestDatabase, 'url'>
  readonly bucket?: Pick<TestBucket, 'address' | 'env'>
  /** Arguments for every portal. */
  readonly args?: readonly string[]
}

/** The number of nodes; 3 by default. */
const NODES = 3

/** One of the portals. It keeps its port when it is restarted. */
export interface Node {
  readonly index: number
  readonly url: string
  running: Running
}

export class Cluster {
  readonly world: World
  readonly nodes: Node[]
  readonly balancer: LoadBalancer
  readonly bucket: Pick<TestBucket, 'address' | 'env'>
  readonly databaseUrl: string
  readonly #args: readonly string[]

  private constructor(
    world: World,
    balancer: LoadBalancer,
    given: { bucket: Pick<TestBucket, 'address' | 'env'>; databaseUrl: string; args: readonly string[] },
  ) {
    this.world = world
    this.balancer = balancer
    this.bucket = given.bucket
    this.databaseUrl = given.databaseUrl
    this.#args = given.args
    this.nodes = []
  }

  /** Starts everything. When this resolves, every node serves. It ends with the test. */
  static async create(options: ClusterOptions = {}): Promise<Cluster> {
    const { nodes = NODES, kind = 'haproxy', args = [] } = options
    const world = await World.create()
    const [database, bucket] = await Promise.all([options.database ?? testDatabase(), options.bucket ?? testBucket()])
    const ports: number[] = []
    for (let index = 0; index < nodes; index++) ports.push(await freePort())
    const backends = ports.map((port) => `127.0.0.1:${port}`)
    const balancer = await loadBalancer({ kind, backends, folder: world.path(kind) })
    world.portalUrl = balancer.url
    world.databaseUrl = database.url
    const cluster = new Cluster(world, balancer, { bucket, databaseUrl: database.url, args })
    await Promise.all(
      backends.map(async (backend, index) => {
        const url = `http://${backend}`
        cluster.nodes[index] = { index, url, running: await cluster.#start(backend) }
      }),
    )
    await cluster.balancerServes()
    return cluster
  }

  node(index: number): Node {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`there is no node ${index}`)
    return node
  }

  /** Starts a node that has ended, on its port. Resolves when it serves. */
  async restart(index: number): Promise<void> {
    const node = this.node(index)
    node.running = await this.#start(node.url.slice('http://'.length))
  }

  /** Resolves when the load balancer has at least one healthy node. */
  async balancerServes(): Promise<void> {
    await this.balancer.until(async () => {
      const answer = await fetch(`${this.balancer.url}/readyz`).catch(() => null)
      await answer?.body?.cancel()
      return answer?.status === 200
    }, 'it has found a node')
  }

  async #start(listen: string): Promise<Running> {
    const running = this.world.start(
      [
        'portal',
        ...['--listen', listen, '--database', this.databaseUrl, '--store', this.bucket.address],
        ...['--public-url', this.balancer.url, '--trusted-proxies', '127.0.0.1', ...this.#args],
      ],
      { env: this.bucket.env },
    )
    await running.line((line) => line.startsWith('portal listening on '))
    return running
  }
}
