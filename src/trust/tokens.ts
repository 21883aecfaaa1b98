/**
 * Signed tokens: JSON Web Signatures in their compact form (RFC 7515), with `alg` "Ed25519" (RFC 9864) and a `typ` of
 * their own each, so that none can stand in for another.
 */
import { CompactSign, compactVerify, decodeProtectedHeader } from 'jose'
import type { Static, TSchema } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import { Problem, type ProblemCode, type PublicKeys, signedTokenLengthMax } from '../protocol/index.ts'
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

const validators = new WeakMap<TSchema, Validator>()

/** The same claims and keys give the same token. */
export async function signToken<Schema extends TSchema>(
  { typ }: TokenKind<Schema>,
  claims: Static<Schema>,
  keys: AccountKeys,
): Promise<string> {
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
  let validator = validators.get(schema)
  if (validator === undefined) {
    validator = Compile(schema)
    validators.set(schema, validator)
  }
  try {
    if (token.length > signedTokenLengthMax) throw new Error('too long')
    const [header, payload, signature, more] = token.split('.')
    if (header === undefined || payload === undefined || signature === undefined || more !== undefined) {
      throw new Error('not three texts with dots between')
    }
    const [, bytes] = [header, payload, signature].map(mustDecode)
    const { alg, typ: actual, kid, ...others } = decodeProtectedHeader(token)
    // Nothing is understood but these three; `crit`, `b64`, `jwk` and their like would change what is verified.
    if (alg !== ALGORITHM || actual !== typ || typeof kid !== 'string' || Object.keys(others).length > 0) {
      throw new Error('another header')
    }
    const claims: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    if (!validator.Check(claims)) throw new Error('other claims')
    return claims as Static<Schema>
  } catch (cause) {
    throw new Problem(problem, { detail: 'it is not a token of this kind' }, { cause })
  }
}

function mustDecode(text: string): Uint8Array {
  const bytes = fromBase64Url(text)
  if (bytes === null) throw new Error('not base64url')
  return bytes
}
