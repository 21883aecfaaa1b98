/** Checks the path between this machine and a portal. */
import { PortalClient } from '../../client/index.ts'
import { NodeRoutes } from '../../client/node-routes.ts'
import { type ConnectionOptions, nodeTransport, wayOf } from '../../client/node-transport.ts'
import { loadProfile } from '../../profile/index.ts'
import { printable } from '../../protocol/index.ts'
import { type Finding, ok } from './finding.ts'
import { tryWay } from './way.ts'

const CONNECT_MS = 10_000

export interface ExaminationOptions {
  /** The address of a portal, for the checks that need no account; by default that of the profile. */
  readonly portal: string | undefined
  readonly profile: string | undefined
  readonly connection: ConnectionOptions
  readonly signal: AbortSignal
}

export interface Examination {
  readonly portalUrl: string
  /** Yields each finding when its check has ended. */
  readonly found: AsyncGenerator<Finding>
}

/** @throws Problem `profile-unusable` */
export async function examine({ portal, profile: name, connection, signal }: ExaminationOptions): Promise<Examination> {
  const profile = portal === undefined ? await loadProfile(name) : null
  const portalUrl = (profile?.portalUrl ?? portal ?? '').replace(/\/+$/, '')
  const token = profile?.token ?? null
  const owner = profile === null ? '' : `, profile ${profile.name ?? 'of the environment'}`
  async function* found(): AsyncGenerator<Finding> {
    yield ok('address', printable(`${portalUrl}${owner}`))
    let client: PortalClient | null = null
    try {
      client = new PortalClient(nodeTransport(portalUrl, connection), token)
      // Each of its requests has a connection of its own, so that a proxy cannot mix them up.
      const routes = new NodeRoutes({ connectMs: CONNECT_MS, keepAliveMs: 0, ...wayOf(portalUrl, connection) })
      yield proxyOf(routes, portalUrl)
      yield* tryWay({ portalUrl, client, routes, token, signal })
    } catch (error) {
      signal.throwIfAborted()
      yield { check: 'way', verdict: 'bad', error }
    } finally {
      await client?.close()
    }
  }
  return { portalUrl, found: found() }
}

function proxyOf(routes: NodeRoutes, portalUrl: string): Finding {
  const { proxy } = routes.for(new URL(portalUrl))
  return ok('proxy', proxy === null ? 'none: this machine connects by itself' : `${proxy.origin}, by ${proxy.variable}`)
}
