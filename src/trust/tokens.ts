/**
 * Signed tokens: JSON Web Signatures in their compact form (RFC 7515), with `alg` "Ed25519" (RFC 9864) and a `typ` of
 * their own each, so that none can stand in for another.
 */
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose'
import type { Static, TSchema } from 'typebox'
import { conforms, Problem, type ProblemCode, type PublicKeys, signedTokenLengthMax } from '../protocol/index.ts'
import { fromBase64Url, utf8 } from './encoding.ts'
import { type AccountKeys, fingerprintOf, verificationKey } from './keys.ts'

const ALGORITHM = 'Ed25519'

/** One kind of token. */
export interface TokenKind<Schema extends TSchema> {
  readonly typ: string
  readonly schema: Schema
  /** What a token that is not valid is called. */
  readonly problem: ProblemCode
}

/** The same claims and keys give the same token. */
export async function signToken<Schema extends TSchema>(
  { typ, schema }: TokenKind<Schema>,
  claims: Static<Schema>,
  keys: AccountKeys,
): Promise<string> {
  if (!conforms(schema, claims)) throw new Error(`these are no claims of a ${typ}`)
  const kid = await fingerprintOf(keys.publicKeys)
  return new CompactSign(utf8(JSON.stringify(claims)))
    .setProtectedHeader({ alg: ALGORITHM, typ, kid })
    .sign(keys.signingKey)
}

/** The claims of a token that is valid in everything. @throws Problem of the kind's code */
export async function verifyToken<Schema extends TSchema>(
  kind: TokenKind<Schema>,
  token: string,
  keys: PublicKeys,
): Promise<Static<Schema>> {
  const claims = readToken(kind, token)
  try {
    if (decodeProtectedHeader(token).kid !== (await fingerprintOf(keys))) throw new Error('it names other keys')
    await compactVerify(token, await verificationKey(keys), { algorithms: [ALGORITHM] })
  } catch (cause) {
    throw new Problem(kind.problem, { detail: 'the signature is not that of the keys known' }, { cause })
  }
  return claims
}

/** The claims of a token, its signature not looked at. @throws Problem of the kind's code when it is none */
export function readToken<Schema extends TSchema>(
  { typ, schema, problem }: TokenKind<Schema>,
  token: string,
): Static<Schema> {
  try {
    if (token.length > signedTokenLengthMax) throw new Error('too long')
    const [header, payload, signature, more] = token.split('.')
    if (header === undefined || payload === undefined || signature === undefined || more !== undefined) {
      throw new Error('not three texts with dots between')
    }
    mustDecode(signature)
    const { alg, typ: actual, kid, ...others } = parsed(header) as Record<string, unknown>
    // Nothing is understood but these three; `crit`, `b64`, `jwk` and their like would change what is verified.
    if (alg !== ALGORITHM || actual !== typ || typeof kid !== 'string' || Object.keys(others).length > 0) {
      throw new Error('another header')
    }
    const claims = parsed(payload)
    if (!conforms(schema, claims)) throw new Error('other claims')
    return claims
  } catch (cause) {
    throw new Problem(problem, { detail: 'it is not a token of this kind' }, { cause })
  }
}

/** @throws Error for anything but an object of which no member stands twice: two readers might take different ones */
function parsed(text: string): object {
  const json = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(mustDecode(text))
  const value: unknown = JSON.parse(json)
  if (typeof value !== 'object' || value === null) throw new Error('not an object')
  const colons = json.replace(/"(?:[^"\\]|\\.)*"/g, '').split(':').length - 1
  if (colons !== memberCount(value)) throw new Error('a member stands twice')
  return value
}

function memberCount(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const values = Object.values(value)
  const own = Array.isArray(value) ? 0 : values.length
  return values.reduce((count: number, one) => count + memberCount(one), own)
}

function mustDecode(text: string): Uint8Array {
  const bytes = fromBase64Url(text)
  if (bytes === null) throw new Error('not base64url')
  return bytes
}
