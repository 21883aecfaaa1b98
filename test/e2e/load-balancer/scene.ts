/** Shared set-up for tests behind a load balancer: clients, load balancer, faulty network, portal. */
import { readFile, writeFile } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import {
  type LoadBalancer,
  type LoadBalancerKind,
  type LoadBalancerOptions,
  loadBalancer,
} from '../../servers/load-balancer.ts'
import { freePort } from '../../servers/server-process.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import type { Running, World } from '../harness/world.ts'

/** One part at a time, and a timeout that gives the portal time to come back. */
export const IN_ORDER = ['--parts-in-flight', '1', '--answer-timeout', '40s'] as const

export interface Behind {
  readonly portal: Running
  readonly network: FaultyNetwork
  readonly balancer: LoadBalancer
}

/** A portal with the accounts alice and bob, who reach it only through the load balancer. */
export async function behind(
  world: World,
  kind: LoadBalancerKind,
  instead: NonNullable<LoadBalancerOptions['instead']> = {},
): Promise<Behind> {
  const portal = await world.portal(['--trusted-proxies', '127.0.0.1'])
  const network = await aWay(world)
  const backends = [hostOf(network.url)]
  const balancer = await loadBalancer({ kind, backends, folder: world.path('balancer'), instead })
  await world.join(['alice', 'bob'], { alice: balancer, bob: balancer })
  return { portal, network, balancer }
}

/** A faulty network in front of the portal. It ends with the test. */
export async function aWay(world: World): Promise<FaultyNetwork> {
  const way = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => way[Symbol.asyncDispose]())
  return way
}

export function hostOf(url: string): string {
  return new URL(url).host
}

/** The address of a node that does not exist. */
export async function deadBackend(): Promise<string> {
  return `127.0.0.1:${await freePort()}`
}

/** What a sender printed while it got no answer. */
export function saidOf(sending: Running): string[] {
  return sending.json.filter(({ phase }) => phase === 'silence').map(({ reason }) => String(reason))
}

/** Lets an account reach the portal by another address from now on. */
export async function reachBy(world: World, account: string, portalUrl: string): Promise<void> {
  const path = world.path('config', 'golooader', 'profiles', `${account}.json`)
  const profile = JSON.parse(await readFile(path, 'utf8'))
  await writeFile(path, JSON.stringify({ ...profile, portalUrl }))
}
