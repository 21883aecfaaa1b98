/**
 * How requests leave this machine: directly or through a proxy, with or without a limit for their rate.
 *
 * Through a proxy, https goes by a tunnel (CONNECT, RFC 9110 section 9.3.6), so the proxy sees the name of the portal and nothing else.
 * Plain http is forwarded (RFC 9112 section 3.2.2), and the proxy can read all of it.
 */
import type { Agent, AgentOptions, ClientRequestArgs } from 'node:http'
import type { LookupFunction } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext, TLSSocket } from 'node:tls'
import { timerMs } from '../protocol/index.ts'
import type { Authorities } from './node-authorities.ts'
import type { Environment, HttpProxies, HttpProxy } from './node-proxy.ts'
import type { RateLimits } from './node-rate-limit.ts'

export interface RouteOptions {
  /** How long connecting may take, a proxy and TLS included. */
  readonly connectMs: number
  /** How long an unused connection is kept; 0 to keep none. */
  readonly keepAliveMs: number
  /** Finds the address of a host; by default the system's look-up. A proxy looks up by itself. */
  readonly lookup?: LookupFunction
  /** Null to use none. */
  readonly proxies: HttpProxies | null
  readonly authorities: Authorities
  /** Null where nothing is limited. */
  readonly limits: RateLimits | null
}

/** How a request to one address is made. */
export interface RequestRoute {
  /** Null for a direct connection. */
  readonly proxy: HttpProxy | null
  /** Whether Node connects by itself. */
  readonly isDirect: boolean
  /** What `http.request` needs besides address, method and fields. */
  readonly options: { readonly agent: Agent; readonly path?: string; readonly secureContext?: SecureContext }
  /** Fields for a proxy that forwards the request. */
  readonly headers: Readonly<Record<string, string>>
}

/** The connections of one client. */
export class NodeRoutes {
  readonly #options: RouteOptions
  readonly #agents = new Map<string, Agent>()

  constructor(options: RouteOptions) {
    this.#options = options
  }

  /** @throws Problem `options-invalid` when a variable names no usable proxy */
  for(url: URL): RequestRoute {
    const proxy = this.#options.proxies?.for(url) ?? null
    const isDirect = proxy === null && this.#options.limits === null
    const agent = this.#agentFor(url.protocol, proxy, isDirect)
    const { context } = this.#options.authorities
    const secure = url.protocol === 'http:' || context === undefined ? {} : { secureContext: context }
    const isForwarded = proxy !== null && url.protocol === 'http:'
    const { authorization = null } = proxy ?? {}
    return {
      proxy,
      isDirect,
      options: { agent, ...secure, ...(isForwarded ? { path: url.origin + url.pathname + url.search } : {}) },
      headers: isForwarded && authorization !== null ? { 'proxy-authorization': authorization } : {},
    }
  }

  /** Ends all connections. */
  close(): void {
    for (const agent of this.#agents.values()) agent.destroy()
  }

  #agentFor(protocol: string, proxy: HttpProxy | null, isDirect: boolean): Agent {
    const key = `${protocol} ${proxy === null ? isDirect : 'proxy'}`
    const known = this.#agents.get(key)
    if (known !== undefined) return known
    const { Agent: AgentThere } = builtIn(protocol)
    const { keepAliveMs, lookup } = this.#options
    const keeping = keepAliveMs === 0 ? {} : { keepAlive: true, timeout: timerMs(keepAliveMs) }
    const agent = new AgentThere({ ...keeping, ...(lookup === undefined ? {} : { lookup }) })
    if (!isDirect) this.#connectItself(agent, protocol, proxy)
    this.#agents.set(key, agent)
    return agent
  }

  /** Makes an agent use connections of `node-connection.ts`, which is loaded when the first one is needed. */
  #connectItself(agent: Agent, protocol: string, proxy: HttpProxy | null): void {
    // Given a `socket`, it speaks TLS over that, and resumes its sessions.
    const startTls = agent.createConnection.bind(agent) as (options: object) => TLSSocket
    const open = async (target: ClientRequestArgs): Promise<Duplex> => {
      const { openConnection } = await import('./node-connection.ts')
      const { context } = this.#options.authorities
      return openConnection(target, {
        ...this.#options,
        ...(context === undefined ? {} : { secureContext: context }),
        proxy,
        startTls: protocol === 'https:' ? (socket) => startTls({ ...target, socket }) : null,
      })
    }
    agent.createConnection = (target, done) => {
      open(target).then(
        (socket) => done?.(null, socket),
        // Node ignores the second argument of a failure.
        (error: Error) => done?.(error, undefined as unknown as Duplex),
      )
      return undefined
    }
  }
}

/** Loads Node's http without `import`, which would also load its WebSocket, and TLS, which plain http does not need. */
export function builtIn(protocol: string): Pick<typeof import('node:http'), 'Agent' | 'request'> {
  return protocol === 'https:' ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http')
}

/** The variables that Node's own HTTP in this process takes proxies from; null where it takes none. */
export function nodeProxyEnvironment(): Environment | null {
  // The declared type lacks what every agent has.
  const agent = process.getBuiltinModule('node:http').globalAgent as { readonly options?: AgentOptions }
  const proxyEnv = agent.options?.proxyEnv
  return proxyEnv === undefined ? null : { ...proxyEnv }
}
