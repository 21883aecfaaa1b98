/** Checks the path between this machine and a portal. */
import { PortalClient } from '../../client/index.ts'
import { nodeTransport } from '../../client/node-transport.ts'
import { loadProfile } from '../../profile/index.ts'
import { printable } from '../../protocol/index.ts'
import { type Finding, ok } from './finding.ts'
import { tryWay } from './way.ts'

export interface ExaminationOptions {
  /** The address of a portal, for the checks that need no account; by default that of the profile. */
  readonly portal: string | undefined
  readonly profile: string | undefined
  readonly insecure: boolean
  readonly signal: AbortSignal
}

export interface Examination {
  readonly portalUrl: string
  /** Yields each finding when its check has ended. */
  readonly found: AsyncGenerator<Finding>
}

/** @throws Problem `profile-unusable` */
export async function examine({ portal, profile: name, insecure, signal }: ExaminationOptions): Promise<Examination> {
  const profile = portal === undefined ? await loadProfile(name) : null
  const portalUrl = (profile?.portalUrl ?? portal ?? '').replace(/\/+$/, '')
  const token = profile?.token ?? null
  const owner = profile === null ? '' : `, profile ${profile.name ?? 'of the environment'}`
  async function* found(): AsyncGenerator<Finding> {
    yield ok('address', printable(`${portalUrl}${owner}`))
    let client: PortalClient | null = null
    try {
      client = new PortalClient(nodeTransport(portalUrl, { insecure }), token)
      yield* tryWay({ portalUrl, client, token, signal })
    } catch (error) {
      signal.throwIfAborted()
      yield { check: 'way', verdict: 'bad', error }
    } finally {
      await client?.close()
    }
  }
  return { portalUrl, found: found() }
}
