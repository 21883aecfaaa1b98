/**
 * The certificate authorities of this machine's store, besides those that Node brings along: an organisation adds its own authority
 * there. Loading the store takes some 50 ms, so it is loaded when a certificate is met that Node's authorities did not sign.
 */
import type { SecureContext } from 'node:tls'

/** Node's codes for a certificate whose authority is not known. */
const UNKNOWN_AUTHORITY: ReadonlySet<unknown> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** Of this process, once a certificate has needed it. */
let systemContext: SecureContext | null = null

/** Whether the system's store was needed, and is in use. */
export function isSystemStoreLoaded(): boolean {
  return systemContext !== null
}

/** Verifies with the authorities of Node, of NODE_EXTRA_CA_CERTS and of the system's store. The first call of a process reads the store. */
export function systemStore(): SecureContext {
  const { createSecureContext } = process.getBuiltinModule('node:tls')
  systemContext ??= createSecureContext({ ca: allAuthorities() })
  return systemContext
}

/** The authorities that one client trusts. */
export class Authorities {
  readonly #usesSystem: boolean

  /** @param usesSystem false to trust only what Node brings along, and NODE_EXTRA_CA_CERTS */
  constructor(usesSystem: boolean) {
    this.#usesSystem = usesSystem
  }

  /** What `tls.connect` verifies with. Undefined means: Node's own authorities. */
  get context(): SecureContext | undefined {
    return this.#usesSystem ? (systemContext ?? undefined) : undefined
  }

  /**
   * Loads the system's store if that may help.
   *
   * @param tried the `context` with which the request failed
   * @returns whether the request should be made again
   */
  loadFor(error: unknown, tried: SecureContext | undefined): boolean {
    if (!this.#usesSystem || tried !== undefined || !isAboutAuthority(error)) return false
    systemStore()
    return true
  }
}

function isAboutAuthority(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return ('code' in error && UNKNOWN_AUTHORITY.has(error.code)) || isAboutAuthority(error.cause)
}

/** The certificates of Node, of NODE_EXTRA_CA_CERTS and of the system, each once, in PEM. */
export function allAuthorities(): string[] {
  const { getCACertificates } = process.getBuiltinModule('node:tls')
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system')])]
}
