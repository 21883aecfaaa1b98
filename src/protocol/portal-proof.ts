/**
 * The proof that a portal knows an account's token, which does not travel. By it a client finds out, before it sends a token to a new
 * address, whether the portal there is its own. PROTOCOL.md, "The identity of a portal".
 */
import * as Type from 'typebox'
import { closed } from './messages.ts'

/** Length of a challenge and of a proof. */
export const portalProofBytes = 32
const BYTES_TEXT = '^[A-Za-z0-9_-]{43}$'
const TOKEN_ID = '^[A-Za-z0-9_-]{16}$'

/** Body of `POST /v1/proof`. */
export const ProofQuestion = Type.Object(
  {
    /** The public half of the token. */
    tokenId: Type.String({ pattern: TOKEN_ID }),
    /** 32 random bytes, base64url. */
    challenge: Type.String({ pattern: BYTES_TEXT }),
  },
  closed,
)
export type ProofQuestion = Type.Static<typeof ProofQuestion>

/** Answer of `POST /v1/proof`. */
export const PortalProof = Type.Object({
  /** The address of the portal, as it is in its invites. */
  portalUrl: Type.String(),
  /** HMAC-SHA-256, base64url. */
  proof: Type.String({ pattern: BYTES_TEXT }),
})
export type PortalProof = Type.Static<typeof PortalProof>

/** The text that the proof is computed of; its key is the SHA-256 of the token. */
export function portalProofText({ challenge }: Pick<ProofQuestion, 'challenge'>, portalUrl: string): string {
  return `golooader v1 portal proof\n${challenge}\n${portalUrl}`
}

/** The public half of a token. @returns null for what is no token */
export function publicTokenId(token: string): string | null {
  return /^glt_([A-Za-z0-9_-]{16})_[A-Za-z0-9_-]{43}$/.exec(token)?.[1] ?? null
}
