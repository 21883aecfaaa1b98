/** What the tests behind a load balancer have in common: clients -> load balancer -> a network that can be made bad -> portal. */
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

/** One part at a time, and time enough for a portal to come back. */
export const IN_ORDER = ['--parts-in-flight', '1', '--answer-timeout', '40s'] as const

export interface Behind {
  readonly portal: Running
  readonly network: FaultyNetwork
  readonly balancer: LoadBalancer
}

/** A portal with the accounts alice and bob, who reach it by the load balancer alone. */
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

/** A network in front of the portal, that goes with the test. */
export async function aWay(world: World): Promise<FaultyNetwork> {
  const way = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => way[Symbol.asyncDispose]())
  return way
}

export function hostOf(url: string): string {
  return new URL(url).host
}

/** The address of a node that is not there. */
export async function deadBackend(): Promise<string> {
  return `127.0.0.1:${await freePort()}`
}

/** What a sender said while it was not answered. */
export function saidOf(sending: Running): string[] {
  return sending.json.filter(({ phase }) => phase === 'silence').map(({ reason }) => String(reason))
}

/** Lets an account reach the portal by another way from now on. */
export async function reachBy(world: World, account: string, portalUrl: string): Promise<void> {
  const path = world.path('config', 'golooader', 'profiles', `${account}.json`)
  const profile = JSON.parse(await readFile(path, 'utf8'))
  await writeFile(path, JSON.stringify({ ...profile, portalUrl }))
}
