/**
 * The contract of a file to send. Each part is hashed from the very bytes that leave, and before the sender completes the upload it
 * checks that the file is unchanged since it was opened.
 */
import type { DigestAlgorithm, Problem } from '../protocol/index.ts'
import type { PartDigests, PartSeal } from '../trust/index.ts'

/** A file that may be sent. */
export interface Source {
  /** The path by which the caller and people know the file. */
  readonly path: string
  /** The name for the receiver. */
  readonly name: string
  /**
   * Distinguishes the file from others of its name, in this run and later ones: its absolute path without symbolic links; in a
   * browser, which shows no paths, its size and time.
   */
  readonly place: string
  /** The size at the first look. The size when the file is opened counts. */
  readonly sizeBytes: number

  /** @throws Problem `source-unreadable`, `source-not-a-file` */
  open(): Promise<OpenSource>
}

/** Properties that are equal as long as a file is the same. Text where a number would lose digits. */
export type SourceIdentity = Readonly<Record<string, string | number>> & { readonly sizeBytes: number }

/** An open file that is being sent. The caller disposes of it. */
export interface OpenSource extends AsyncDisposable {
  readonly source: Source
  /** The identity when the file was opened. */
  readonly identity: SourceIdentity
  /** The media type for the metadata, with what belongs to the file (`fileMediaType`); undefined where nothing is known. */
  readonly mediaType: string | undefined
  /**
   * Whether an equal identity is taken as proof of equal content. Where it is not, the file is read before the end of an earlier
   * run's transfer is reported for it.
   */
  readonly isIdentityProof: boolean

  /**
   * Reads the part at `offsetBytes` into `target`, sealed if `seal` is given. The digests are those of the bytes in `target`, even if
   * the file changes meanwhile.
   *
   * @param seal null for a part that is not sealed; otherwise `target` is longer than the bytes read, by the seal's tag
   * @returns the digest of `target`, and that of the bytes read; without a seal they are the same
   * @throws Problem `source-changed` when the file is shorter than it was; `source-unreadable` when reading fails
   */
  readPart(
    target: Uint8Array,
    offsetBytes: number,
    digestAlgorithm: DigestAlgorithm,
    seal: PartSeal | null,
  ): Promise<PartDigests>

  /**
   * @param onRead awaited now and then while the file is read again, which may take long
   * @throws Problem `source-changed` when the file is no longer what was opened
   */
  assertUnchanged(onRead?: () => Promise<void>): Promise<void>

  /** Only of folders: how far a number of bytes of its tar goes. */
  treeProgress?(bytes: number): { readonly done: number; readonly path: string }

  /** The problem to throw when the file turns out to have changed since it was opened. */
  changed(how: string, cause?: unknown): Problem
}

/** Whether two looks at a file saw equal identities. */
export function isSameSource(a: SourceIdentity, b: SourceIdentity): boolean {
  return Object.keys({ ...a, ...b }).every((name) => a[name] === b[name])
}
