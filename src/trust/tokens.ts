/**
 * Signed tokens: JSON Web Signatures in their compact form (RFC 7515), with `alg` "Ed25519" (RFC 9864) and a `typ` of
 * its own for each kind, so that no kind can replace another.
 */
import type { Static, TSchema } from 'typebox'
import { conforms, Problem, type ProblemCode, type PublicKeys, signedTokenLengthMax } from '../protocol/index.ts'
import { cryptoDriver } from './crypto.ts'
import { fromBase64Url, toBase64Url, utf8 } from './encoding.ts'
import { type AccountKeys, fingerprintOf, signingKeyBytes } from './keys.ts'

const ALGORITHM = 'Ed25519'

/** One kind of token. */
export interface TokenKind<Schema extends TSchema> {
  readonly typ: string
  readonly schema: Schema
  /** The problem of an invalid token. */
  readonly problem: ProblemCode
}

/** Signs claims. The same claims and keys give the same token. */
export async function signToken<Schema extends TSchema>(
  { typ, schema }: TokenKind<Schema>,
  claims: NoInfer<Static<Schema>>,
  keys: AccountKeys,
): Promise<string> {
  if (!conforms(schema, claims)) throw new Error(`these are no claims of a ${typ}`)
  const header = { alg: ALGORITHM, typ, kid: await fingerprintOf(keys.publicKeys) }
  // The signature is over header and payload, joined by a dot (RFC 7515 section 5.1).
  const signed = [header, claims].map((part) => toBase64Url(utf8(JSON.stringify(part)))).join('.')
  return `${signed}.${toBase64Url(await cryptoDriver.sign(keys.signingKey, utf8(signed)))}`
}

/** The claims of a valid token. @throws Problem of the kind's code for an invalid one */
export async function verifyToken<Schema extends TSchema>(
  kind: TokenKind<Schema>,
  token: string,
  keys: PublicKeys,
): Promise<NoInfer<Static<Schema>>> {
  const { claims, kid, signed, signature } = decoded(kind, token)
  try {
    if (kid !== (await fingerprintOf(keys))) throw new Error('it names other keys')
    const isValid = await cryptoDriver.verify(signingKeyBytes(keys), signature, utf8(signed))
    if (!isValid) throw new Error('another key signed it, or it was changed')
  } catch (cause) {
    throw new Problem(kind.problem, { detail: 'the signature is not that of the keys known' }, { cause })
  }
  return claims
}

/** The claims of a token, without verifying its signature. @throws Problem of the kind's code when it is not a token */
export function readToken<Schema extends TSchema>(kind: TokenKind<Schema>, token: string): NoInfer<Static<Schema>> {
  return decoded(kind, token).claims
}

interface Decoded<Schema extends TSchema> {
  readonly claims: Static<Schema>
  readonly kid: string
  /** The signed bytes. */
  readonly signed: string
  readonly signature: Uint8Array
}

function decoded<Schema extends TSchema>({ typ, schema, problem }: TokenKind<Schema>, token: string): Decoded<Schema> {
  try {
    if (token.length > signedTokenLengthMax) throw new Error('too long')
    const [header, payload, signature, more] = token.split('.')
    if (header === undefined || payload === undefined || signature === undefined || more !== undefined) {
      throw new Error('not three texts with dots between')
    }
    const { alg, typ: actual, kid, ...others } = parsed(header) as Record<string, unknown>
    // Only these three members are allowed, because others, such as `crit`, `b64` and `jwk`, would change what is verified.
    if (alg !== ALGORITHM || actual !== typ || typeof kid !== 'string' || Object.keys(others).length > 0) {
      throw new Error('another header')
    }
    const claims = parsed(payload)
    if (!conforms(schema, claims)) throw new Error('other claims')
    return { claims, kid, signed: `${header}.${payload}`, signature: mustDecode(signature) }
  } catch (cause) {
    throw new Problem(problem, { detail: 'it is not a token of this kind' }, { cause })
  }
}

/** @throws Error for anything but an object, and for a repeated member, of which two readers might take different ones */
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
