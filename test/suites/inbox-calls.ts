/** What the suite of the inbox asks of a driver. */
import type { DigestAlgorithm } from '../../src/protocol/index.ts'
import type { PartialLayout, PartSeal, Published } from '../../src/receiver/index.ts'

/** One part, as data. It comes in slices. */
export interface PlainPart {
  readonly partNumber: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly digest: string
  readonly lengthBytes: number
  readonly seal: PartSeal | null
  readonly bytes: Uint8Array
  /** After the bytes nothing more comes, and no end either. */
  readonly isStalling?: boolean
}

export interface HeldInFile {
  readonly held: readonly (readonly [partNumber: number, digest: string])[]
  readonly heldBytes: number
}

/** An inbox as the suite uses it: everything is data, as a driver may be in another process. */
export interface InboxUnderTest {
  /** As after a crash: nobody ends anything, and all of it is opened anew. */
  restart(): Promise<void>
  hasBegun(transferId: string): Promise<boolean>
  open(transferId: string, layout: PartialLayout): Promise<HeldInFile>
  /** Of a file that is open. @returns the code of the problem; null where the part was taken */
  take(transferId: string, part: PlainPart): Promise<string | null>
  look(transferId: string): Promise<HeldInFile>
  contentDigests(transferId: string): Promise<string[]>
  startOver(transferId: string): Promise<void>
  /** Finishes the file, and publishes it. */
  commit(transferId: string, name: string, manifestDigest: string): Promise<Published>
  published(transferId: string): Promise<Published | null>
  answered(transferId: string): Promise<void>
  discard(transferId: string): Promise<void>
  unfinished(): Promise<string[]>
  /** The SHA-256 of a published file. */
  contentOf(transferId: string, name: string): Promise<string>
  /** Flips a bit of what is not finished, while nobody has it open. */
  spoil(transferId: string, atByte: number): Promise<void>
}
