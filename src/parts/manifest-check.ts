/**
 * The end of a hop: do the held parts make up the file that the sender announced? The portal checks this when the sender says
 * `complete`, the receiver before it gives the file its name.
 */
import { manifestDigestOf } from '../digests/index.ts'
import {
  allParts,
  type DigestAlgorithm,
  missingParts,
  type PartLayout,
  type PartRange,
  Problem,
  partCount,
} from '../protocol/index.ts'

/** The result for the receiving half of a hop. `resend` names the parts that it wants again. */
export type ManifestCheck =
  | { readonly disposition: 'received' }
  | { readonly disposition: 'resend'; readonly problem: Problem; readonly wanted: readonly PartRange[] }

/**
 * Checks the held parts against the manifestDigest. Each of them has been verified on its own before.
 *
 * A mismatch means that a part is intact but is not the one that the sender means. The digest does not tell which, so the check wants
 * all parts again.
 *
 * @param held part number -> digest in hex
 */
export function checkManifest(
  layout: PartLayout,
  digestAlgorithm: DigestAlgorithm,
  held: ReadonlyMap<number, string>,
  manifestDigest: string,
): ManifestCheck {
  const wanted = missingParts(layout, held)
  if (wanted.length > 0) {
    return { disposition: 'resend', problem: new Problem('parts-missing', { wanted }), wanted }
  }
  const actual = manifestDigestOf(digestAlgorithm, digestsInOrder(layout, held))
  if (actual === manifestDigest) return { disposition: 'received' }
  const problem = new Problem('manifest-mismatching', { expected: manifestDigest, actual })
  return { disposition: 'resend', problem, wanted: allParts(layout) }
}

function* digestsInOrder(layout: PartLayout, held: ReadonlyMap<number, string>): Generator<string> {
  const count = partCount(layout)
  for (let partNumber = 1; partNumber <= count; partNumber++) {
    const digest = held.get(partNumber)
    if (digest === undefined) throw new Error(`part ${partNumber} is not held`)
    yield digest
  }
}
