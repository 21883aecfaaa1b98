/**
 * Shared set-up for the tests of the page: a portal, visitors who join in a browser, and members on the command line.
 */
import { join } from 'node:path'
import { expect } from 'vitest'
import { invite, openLedger } from '../../../src/portal/index.ts'
import type { TransferPage, TransferStatus, TransferSummary } from '../../../src/protocol/index.ts'
import { builtPage } from '../../page/built.ts'
import { openVisit, type VisitOptions, type Visitor } from '../../page/harness/visitor.ts'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { type Running, sha256Of, World } from '../harness/world.ts'

export const MIB = 1024 * 1024
/** The default part size of a sender. */
export const PART_BYTES = 8 * MIB
const INVITE_MS = 60_000
const EVENTUALLY_MS = 240_000

export interface Scene extends AsyncDisposable {
  readonly world: World
  /** The network between the browsers and the portal. Tests can disturb it. */
  readonly network: FaultyNetwork
  /** The first process of the portal. */
  readonly portal: Running
  /** A visitor of that name joins in a browser. */
  visit(name: string, options?: VisitOptions): Promise<Visitor>
  /** Creates an invite link. */
  link(name: string): Promise<string>
}

/** @param names members who join on the command line */
export async function sceneWith(names: readonly string[], portalFlags: readonly string[] = []): Promise<Scene> {
  // A portal reads the files of the page when it starts.
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

/** The portal's record of a transfer, which the test reads without the page. */
export function statusOf(visitor: Visitor, transferId: string): Promise<TransferStatus> {
  return asked<TransferStatus>(visitor, `transfers/${transferId}`)
}

/** All transfers that a visitor has sent, from the portal's record, newest first. */
export async function transfersOf(visitor: Visitor): Promise<TransferSummary[]> {
  return (await asked<TransferPage>(visitor, 'transfers?limit=50')).transfers
}

async function asked<Answer>(visitor: Visitor, path: string): Promise<Answer> {
  const authorization = `Bearer ${await visitor.inside<string>('token')}`
  const answer = await fetch(new URL(`/v1/${path}`, visitor.page.url()), { headers: { authorization } })
  if (!answer.ok) throw new Error(`${answer.status} for ${path}`)
  return (await answer.json()) as Answer
}

/** The bytes of a file that the portal has acknowledged. The last part counts with the full part size. */
export function heldBytes({ parts = [] }: TransferStatus): number {
  return parts.length * PART_BYTES
}

/** The part number of a request; null for another request. */
export function sentPart({ method, path }: Seen): number | null {
  const [, partNumber] = /\/v1\/transfers\/[^/]+\/parts\/(\d+)$/.exec(path) ?? []
  return method === 'PUT' && partNumber !== undefined ? Number(partNumber) : null
}

/** How often a part was sent. */
export function timesSent(network: FaultyNetwork, partNumber: number): number {
  return network.seen.filter((seen) => sentPart(seen) === partNumber).length
}

/** Passes the first parts and holds the others until the returned function is called. */
export function holdPartsAfter(network: FaultyNetwork, partNumberLast: number): () => void {
  const gate = Promise.withResolvers<void>()
  network.rule = (seen) => ((sentPart(seen) ?? 0) > partNumberLast ? { heldUntil: gate.promise } : null)
  return () => {
    network.rule = () => null
    gate.resolve()
  }
}

/** `expect.poll` with a timeout for a busy machine. */
export function eventually<Value>(look: () => Value | Promise<Value>) {
  return expect.poll(look, { timeout: EVENTUALLY_MS })
}

/** Checks that the only file of that name in a receiver's inbox equals this one. */
export async function expectArrived(world: World, receiver: string, name: string, path: string): Promise<void> {
  expect(await sha256Of(join(world.inbox(receiver), name))).toBe(await sha256Of(path))
}
