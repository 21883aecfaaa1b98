/**
 * What is sent: one file at one time. Each part is hashed from the very bytes that leave, and before the sender says
 * `complete` it makes sure that the file is still the one it opened.
 */
import type { DigestAlgorithm, Problem } from '../protocol/index.ts'
import type { PartPosition } from '../trust/part-position.ts'

/** A file that may be sent. */
export interface Source {
  /** By which the caller knows it, and says it to people. */
  readonly path: string
  /** What the receiver is told. */
  readonly name: string
  /**
   * What tells it from other files of its name, in this run and the next: its absolute path, without symbolic links; in a
   * browser, which shows no paths, its size and time.
   */
  readonly place: string
  /** When it was looked at first: what counts is the size when it is opened. */
  readonly sizeBytes: number

  /** @throws Problem `source-unreadable`, `source-not-a-file` */
  open(): Promise<OpenSource>
}

/** What has to be equal for a file to be "the same as before". Text where a number would lose digits. */
export type SourceIdentity = Readonly<Record<string, string | number>> & { readonly sizeBytes: number }

/** Of one part, both in hex. */
export interface PartDigests {
  /** Of what travels. */
  readonly digest: string
  /** Of what the file holds. */
  readonly contentDigest: string
}

/** With what a part is sealed. A key and a position are for one content only: whoever gives them sees to that. */
export interface PartSeal {
  readonly partKey: Uint8Array
  readonly position: PartPosition
}

/** A file while it is sent. To be disposed of. */
export interface OpenSource extends AsyncDisposable {
  readonly source: Source
  /** As it was when it was opened. */
  readonly identity: SourceIdentity
  /**
   * Whether the same identity means the same content, as far as anybody can tell without reading it. Where it does not, the file
   * is read before the end of an earlier run's transfer is told of it.
   */
  readonly isIdentityProof: boolean

  /**
   * Fills `target` with what is to travel of the bytes from `offsetBytes` on. What is in `target` is what was hashed, whatever
   * happens to the file meanwhile.
   *
   * @param seal null for a part that travels as it is; otherwise `target` is longer than what is read, by the seal's tag
   * @returns the digest of `target`, and that of what the file holds; without a seal they are the same
   * @throws Problem `source-changed` when the file is shorter than it was; `source-unreadable` when reading fails
   */
  readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests>

  /** @throws Problem `source-changed` when the file is no longer what was opened */
  assertUnchanged(): Promise<void>

  /** What to throw when the file turns out not to be what it was when it was opened. */
  changed(how: string, cause?: unknown): Problem
}

/** Whether two looks at a file saw the same content, as far as can be told without reading it. */
export function isSameSource(a: SourceIdentity, b: SourceIdentity): boolean {
  return Object.keys({ ...a, ...b }).every((name) => a[name] === b[name])
}
