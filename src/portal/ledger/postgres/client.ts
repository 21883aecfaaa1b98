/**
 * The client of PostgreSQL. Where it verifies a certificate, and the address names no authority, it trusts those in the system's certificate
 * store, too, as the clients of a portal do.
 */
import { type ConnectionOptions, createSecureContext } from 'node:tls'
import type { Client, ClientConfig } from 'pg'
import { allAuthorities, systemStore } from '../../../client/node-authorities.ts'

type Package = Pick<typeof import('pg'), 'Pool' | 'types'> & { readonly Client: new (config?: ClientConfig) => Client }

/** Loads the package `pg`, with this client. */
export async function loadClient(): Promise<Package> {
  const { default: pg } = await import('pg')
  class TrustingClient extends pg.Client {
    constructor(config?: ClientConfig) {
      super(config)
      // What the address and PGSSLMODE say. The types leave it out.
      const connection = this.connection as unknown as { ssl: boolean | ConnectionOptions }
      connection.ssl = withSystemStore(connection.ssl)
    }
  }
  return { Pool: pg.Pool, types: pg.types, Client: TrustingClient }
}

function withSystemStore(ssl: boolean | ConnectionOptions): boolean | ConnectionOptions {
  if (ssl === false) return false
  const options = ssl === true ? {} : ssl
  const { ca, cert, key, rejectUnauthorized = true } = options
  if (ca !== undefined || !rejectUnauthorized) return ssl
  const isKnown = cert !== undefined || key !== undefined
  const secureContext = isKnown ? createSecureContext({ ca: allAuthorities(), cert, key }) : systemStore()
  return { ...options, secureContext }
}
