/** Digests that a sender gives for a whole body (RFC 9530). They are computed only when they are given, in addition to those of the parts. */
import { digestDriver, fastDigestAlgorithms, type Hasher } from '../../digests/index.ts'
import { type DigestAlgorithm, knownDigestAlgorithms, Problem, parseContentDigest } from '../../protocol/index.ts'

interface Wanted {
  readonly algorithm: DigestAlgorithm
  /** hex */
  readonly digest: string
  readonly hasher: Hasher
}

/** Hashes the body and compares the digests. */
export class BodyDigests implements Pick<Hasher, 'update'> {
  readonly #wanted: readonly Wanted[]

  private constructor(wanted: readonly Wanted[]) {
    this.#wanted = wanted
  }

  /**
   * @param fields the values of `Repr-Digest` and `Content-Digest`, if present
   * @returns null when there is none
   * @throws Problem `digest-invalid-value`; `digest-unsupported-algorithm`, because a sender would take an ignored digest for verified
   */
  static of(fields: readonly (string | undefined)[]): BodyDigests | null {
    const wanted = fields.flatMap((field) => (field === undefined ? [] : [wantedBy(field)]))
    return wanted.length === 0 ? null : new BodyDigests(wanted)
  }

  update(bytes: Uint8Array): void {
    for (const { hasher } of this.#wanted) hasher.update(bytes)
  }

  /** Called once, at the end of the body. @throws Problem `digest-mismatching-value` */
  verify(): void {
    for (const { algorithm, digest, hasher } of this.#wanted) {
      const actual = hasher.digest()
      if (actual !== digest) throw new Problem('digest-mismatching-value', { algorithm, expected: digest, actual })
    }
  }
}

/** The digest to verify: of several algorithms in one field, the fastest. */
function wantedBy(field: string): Wanted {
  const given = field.split(',').map((member) => member.split('=', 1)[0]?.trim())
  const algorithm = [...fastDigestAlgorithms, ...knownDigestAlgorithms].find((one) => given.includes(one))
  if (algorithm === undefined) throw new Problem('digest-unsupported-algorithm', { wanted: knownDigestAlgorithms })
  const digest = parseContentDigest(algorithm, field)
  return { algorithm, digest, hasher: digestDriver(algorithm).create() }
}
