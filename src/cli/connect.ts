import type { Readable } from 'node:stream'
import { Patience, PortalClient } from '../client/index.ts'
import { nodeTransport, type TransportOptions } from '../client/node-transport.ts'
import { loadProfile } from './profiles.ts'

/** How long a command that only asks one thing bears silence. */
const ASK_TIMEOUT_MS = 15_000

/** A connection to the portal of a profile. */
export interface Connection {
  readonly client: PortalClient<Readable>
  readonly portalUrl: string
  /** null where only a token is known, and the portal has not said whose it is. */
  readonly account: string | null
}

/** @throws UsageError when there is no such profile; UnsafeConnection when its portal is not safe to talk to */
export async function connect(
  profileName: string | undefined,
  { insecure = false }: TransportOptions = {},
): Promise<Connection> {
  const { portalUrl, token, account = null } = await loadProfile(profileName)
  return { client: new PortalClient(nodeTransport(portalUrl, { insecure }), token), portalUrl, account }
}

/** Patience for a command that asks one thing. */
export function shortPatience(signal?: AbortSignal): Patience {
  return new Patience({ answerTimeoutMs: ASK_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) })
}
