/** A world with a portal that allows links, and the commands of people with a link, who have neither a profile nor a home folder. */
import { readdir, readFile } from 'node:fs/promises'
import { expect } from 'vitest'
import { parseLink } from '../../../src/protocol/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Running, World } from '../harness/world.ts'

/** Without any of these, a program has no folder to keep something in. */
const homeless = { HOME: '', XDG_CONFIG_HOME: '', XDG_STATE_HOME: '' }

export class LinkWorld implements AsyncDisposable {
  readonly world: World
  /** Everything passes by it, because the links name its address. */
  readonly network: FaultyNetwork

  private constructor(world: World, network: FaultyNetwork) {
    this.world = world
    this.network = network
  }

  static async create(...portal: string[]): Promise<LinkWorld> {
    const world = await World.create()
    const network = await FaultyNetwork.open(() => world.portalUrl)
    await world.portal(['--guests', ...portal])
    await world.join(['alice'], { alice: network })
    return new LinkWorld(world, network)
  }

  sendLink(path: string, ...args: string[]): Running {
    return this.world.start(['send', path, '--link', '--profile', 'alice', '--json', ...args])
  }

  /** Makes a link, and returns it once its file is stored. */
  async link(path: string, ...args: string[]): Promise<{ link: string; transferId: string }> {
    const sending = this.sendLink(path, '--no-wait', ...args)
    const { code, stderr } = await sending.ended
    expect(code, stderr).toBe(0)
    return linkIn(sending)
  }

  /** A person with a link receives into a folder of that name. */
  receive(
    link: string,
    name: string,
    args: readonly string[] = [],
    env: Readonly<Record<string, string>> = {},
  ): Running {
    return this.world.start(['receive', link, '--into', this.world.inbox(name), '--json', ...args], {
      env: { ...homeless, ...env },
    })
  }

  /** A person with the link of a request sends. What it needs to continue is in a folder of its own. */
  sendTo(link: string, path: string, ...args: string[]): Running {
    return this.world.start(['send', path, '--to', link, '--json', ...args], {
      env: { ...homeless, XDG_STATE_HOME: this.world.path('visitor') },
    })
  }

  /** How the deliveries of a transfer stand, in no order. */
  async states(transferId: string): Promise<string[]> {
    const alice = await this.world.client('alice')
    return (await alice.transfer(transferId)).deliveries.map(({ state }) => state).sort()
  }

  /** The secrets of the links that alice's machine keeps. */
  async secrets(): Promise<string[]> {
    const folder = this.world.path('state', 'golooader', 'links')
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json'))
    return Promise.all(names.map(async (name) => JSON.parse(await readFile(`${folder}/${name}`, 'utf8')).secret))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.network[Symbol.asyncDispose]()
    await this.world[Symbol.asyncDispose]()
  }
}

/** The link that a sender has told. */
export async function linkIn(sending: Running): Promise<{ link: string; transferId: string }> {
  const told = await sending.object(({ type }) => type === 'link')
  return { link: String(told.link), transferId: String(told.transferId) }
}

export function secretOf(link: string): string {
  const parsed = parseLink(link)
  if (parsed === null || parsed.kind === 'invite') throw new Error(`not a link: ${link}`)
  return parsed.secret
}
