/** Digests that a sender gives for a whole body (RFC 9530). Computed beside those of the parts, so only where they are given. */
import { digestDriver, fastDigestAlgorithms, type Hasher } from '../digests/index.ts'
import { type DigestAlgorithm, knownDigestAlgorithms, Problem, parseContentDigest } from '../protocol/index.ts'

interface Wanted {
  readonly algorithm: DigestAlgorithm
  /** hex */
  readonly digest: string
  readonly hasher: Hasher
}

/** Hashes what it is shown, and compares. */
export class BodyDigests implements Pick<Hasher, 'update'> {
  readonly #wanted: readonly Wanted[]

  private constructor(wanted: readonly Wanted[]) {
    this.#wanted = wanted
  }

  /**
   * @param fields the values of `Repr-Digest` and `Content-Digest`, those that there are
   * @returns null where there is none
   * @throws Problem `digest-invalid-value`; `digest-unsupported-algorithm`, so that nobody takes for verified what was not
   */
  static of(fields: readonly (string | undefined)[]): BodyDigests | null {
    const wanted = fields.flatMap((field) => (field === undefined ? [] : [wantedBy(field)]))
    return wanted.length === 0 ? null : new BodyDigests(wanted)
  }

  update(bytes: Uint8Array): void {
    for (const { hasher } of this.#wanted) hasher.update(bytes)
  }

  /** To be called once, at the end. @throws Problem `digest-mismatching-value` */
  verify(): void {
    for (const { algorithm, digest, hasher } of this.#wanted) {
      const actual = hasher.digest()
      if (actual !== digest) throw new Problem('digest-mismatching-value', { algorithm, expected: digest, actual })
    }
  }
}

/** Of several algorithms in one field the fastest is verified. */
function wantedBy(field: string): Wanted {
  const given = field.split(',').map((member) => member.split('=', 1)[0]?.trim())
  const algorithm = [...fastDigestAlgorithms, ...knownDigestAlgorithms].find((one) => given.includes(one))
  if (algorithm === undefined) throw new Problem('digest-unsupported-algorithm', { wanted: knownDigestAlgorithms })
  const digest = parseContentDigest(algorithm, field)
  return { algorithm, digest, hasher: digestDriver(algorithm).create() }
}
