/** Explains why a certificate was rejected, and who can fix it. */

/** OpenSSL's verification errors by the names that Node gives them (its documentation: TLS, X509 certificate errors). */
const REASONS: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired. Its operator has to renew it; if it is new, check the clock of this machine',
  CERT_NOT_YET_VALID: 'it is not valid yet. Check the clock of this machine',
  CERT_REVOKED: 'it was revoked. Its operator has to renew it',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'it comes from a certificate authority that this machine does not know',
  UNABLE_TO_GET_ISSUER_CERT: 'its chain is not complete, or from an authority that this machine does not know',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its chain is not complete, or from an authority that this machine does not know',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its chain is not complete, or from an authority that this machine does not know',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another host. Check the address; its operator may have to add this name',
}
const OTHERS: ReadonlySet<string> = new Set([
  'UNABLE_TO_GET_CRL',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_DECRYPT_CRL_SIGNATURE',
  'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
  'CERT_SIGNATURE_FAILURE',
  'CRL_SIGNATURE_FAILURE',
  'CRL_NOT_YET_VALID',
  'CRL_HAS_EXPIRED',
  'ERROR_IN_CERT_NOT_BEFORE_FIELD',
  'ERROR_IN_CERT_NOT_AFTER_FIELD',
  'CERT_CHAIN_TOO_LONG',
  'INVALID_CA',
  'PATH_LENGTH_EXCEEDED',
  'INVALID_PURPOSE',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'HOSTNAME_MISMATCH',
  'ERR_TLS_CERT_ALTNAME_FORMAT',
])
/** How to trust a private certificate authority. */
const OWN_AUTHORITY =
  ". If that is meant to be so, add its certificate to the system's store, or name it: NODE_EXTRA_CA_CERTS=ca.pem"
const TRUSTABLE = /SELF_SIGNED|ISSUER|LEAF_SIGNATURE/

/** {@link certificateFault} of an error, or of the first of its causes that has one. */
export function certificateFaultIn(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  return certificateFault(error) ?? certificateFaultIn(error.cause)
}

/** @returns null when the error is not about a certificate */
function certificateFault(error: unknown): string | null {
  if (!(error instanceof Error)) return null
  const code = 'code' in error ? String(error.code) : ''
  const reason = Object.hasOwn(REASONS, code) ? REASONS[code] : undefined
  if (reason !== undefined) return `${reason}${TRUSTABLE.test(code) ? OWN_AUTHORITY : ''} (${code})`
  return OTHERS.has(code) ? `${error.message} (${code})` : null
}
