/** What the tests of people at the page have in common: a world with a portal, people who join it in a browser, and others who do not. */
import { join } from 'node:path'
import { expect } from 'vitest'
import { invite, openLedger } from '../../../src/portal/index.ts'
import type { TransferPage, TransferStatus, TransferSummary } from '../../../src/protocol/index.ts'
import { builtPage } from '../../page/built.ts'
import { openVisit, type VisitOptions, type Visitor } from '../../page/harness/visitor.ts'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { type Running, sha256Of, World } from '../harness/world.ts'

export const MIB = 1024 * 1024
/** A sender that is left to itself takes parts of this size. */
export const PART_BYTES = 8 * MIB
const INVITE_MS = 60_000
const EVENTUALLY_MS = 30_000

export interface Scene extends AsyncDisposable {
  readonly world: World
  /** The way from browsers to the portal: it can be made bad. */
  readonly network: FaultyNetwork
  /** The portal's first process. */
  readonly portal: Running
  /** Somebody of that name joins in a browser. */
  visit(name: string, options?: VisitOptions): Promise<Visitor>
  /** A link by which somebody joins. */
  link(name: string): Promise<string>
}

/** @param names who joins by the command line */
export async function sceneWith(names: readonly string[], portalFlags: readonly string[] = []): Promise<Scene> {
  // A portal reads the page when it starts.
  await builtPage()
  const world = await World.create()
  const portal = await world.portal(portalFlags)
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.join(names)
  const link = async (name: string): Promise<string> => {
    const ledger = await openLedger(world)
    const secret = await invite(ledger, name, INVITE_MS)
    await ledger.close()
    return `${network.url}/join#${secret}`
  }
  return {
    ...{ world, network, link, portal },
    async visit(name, options) {
      const [visitor, address] = await Promise.all([openVisit(options), link(name)])
      await visitor.join(address)
      return visitor
    },
    async [Symbol.asyncDispose]() {
      await network[Symbol.asyncDispose]()
      await world[Symbol.asyncDispose]()
    },
  }
}

/** What the portal has on record of a transfer, as its sender sees it by another way than the page. */
export function statusOf(visitor: Visitor, transferId: string): Promise<TransferStatus> {
  return asked<TransferStatus>(visitor, `transfers/${transferId}`)
}

/** The transfers that somebody has sent, as the portal has them on record; the newest first. */
export async function transfersOf(visitor: Visitor): Promise<TransferSummary[]> {
  return (await asked<TransferPage>(visitor, 'transfers?limit=50')).transfers
}

async function asked<Answer>(visitor: Visitor, path: string): Promise<Answer> {
  const authorization = `Bearer ${await visitor.inside<string>('token')}`
  const answer = await fetch(new URL(`/v1/${path}`, visitor.page.url()), { headers: { authorization } })
  if (!answer.ok) throw new Error(`${answer.status} for ${path}`)
  return (await answer.json()) as Answer
}

/** Bytes of a file that the portal holds and has answered for. The last part may count for more than it has. */
export function heldBytes({ parts = [] }: TransferStatus): number {
  return parts.length * PART_BYTES
}

/** The number of the part that a request brings; null for another request. */
export function sentPart({ method, path }: Seen): number | null {
  const [, partNumber] = /\/v1\/transfers\/[^/]+\/parts\/(\d+)$/.exec(path) ?? []
  return method === 'PUT' && partNumber !== undefined ? Number(partNumber) : null
}

/** How often a part was sent. */
export function timesSent(network: FaultyNetwork, partNumber: number): number {
  return network.seen.filter((seen) => sentPart(seen) === partNumber).length
}

/** Lets the first parts of what is sent pass; the others are held back until the returned function is called. */
export function holdPartsAfter(network: FaultyNetwork, partNumberLast: number): () => void {
  const gate = Promise.withResolvers<void>()
  network.rule = (seen) => ((sentPart(seen) ?? 0) > partNumberLast ? { heldUntil: gate.promise } : null)
  return () => {
    network.rule = () => null
    gate.resolve()
  }
}

/** As `expect.poll`, with as much time as a busy machine takes. */
export function eventually<Value>(look: () => Value | Promise<Value>) {
  return expect.poll(look, { timeout: EVENTUALLY_MS })
}

/** The one file of that name in the inbox of a receiver is this one. */
export async function expectArrived(world: World, receiver: string, name: string, path: string): Promise<void> {
  expect(await sha256Of(join(world.inbox(receiver), name))).toBe(await sha256Of(path))
}
