/**
 * The end of a hop: does what is held make up the file that the sender announced? The portal asks this when the
 * sender says `complete`, the receiver before it gives the file its name.
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

/** What the receiving half of a hop concludes. `resend` names what it wants again. */
export type Verdict =
  | { readonly disposition: 'received' }
  | { readonly disposition: 'resend'; readonly problem: Problem; readonly wanted: readonly PartRange[] }

/**
 * Judges the parts held, all of which have been verified one by one, against the manifestDigest.
 *
 * A mismatch means that a part is sound but is not the one the sender means. Nobody can tell which, so all are
 * wanted again.
 *
 * @param held part number -> digest in hex
 */
export function judge(
  layout: PartLayout,
  digestAlgorithm: DigestAlgorithm,
  held: ReadonlyMap<number, string>,
  manifestDigest: string,
): Verdict {
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
