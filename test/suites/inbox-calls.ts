/** The interface between the suite of the inbox and its drivers. */
import type { DigestAlgorithm } from '../../src/protocol/index.ts'
import type { Clocks, PartialLayout, Published } from '../../src/receiver/index.ts'
import type { PartSeal } from '../../src/trust/index.ts'

/** One part as data. The driver passes it on in slices. */
export interface PlainPart {
  readonly partNumber: number
  readonly digestAlgorithm: DigestAlgorithm
  readonly digest: string
  readonly lengthBytes: number
  readonly seal: PartSeal | null
  readonly bytes: Uint8Array
  /** Whether the stream stays open after the bytes without bringing more. */
  readonly isStalling?: boolean
}

export interface HeldInFile {
  readonly held: readonly (readonly [partNumber: number, digest: string])[]
  readonly heldBytes: number
}

/** An inbox for the suite. All arguments and results are data, because a driver may run in another process. */
export interface InboxUnderTest {
  /** Opens the inbox again without closing it, as after a crash. */
  restart(): Promise<void>
  tidy(clocks: Clocks): Promise<number>
  hasBegun(transferId: string): Promise<boolean>
  open(transferId: string, layout: PartialLayout): Promise<HeldInFile>
  /** Receives a part of an open file. @returns the code of the problem; null when the part was received */
  take(transferId: string, part: PlainPart): Promise<string | null>
  look(transferId: string): Promise<HeldInFile>
  contentDigests(transferId: string): Promise<string[]>
  /** The stream that the file is has ended. */
  sized(transferId: string, sizeBytes: number): Promise<void>
  startOver(transferId: string): Promise<void>
  /** Finishes and publishes the file. */
  commit(transferId: string, name: string, manifestDigest: string): Promise<Published>
  published(transferId: string): Promise<Published | null>
  answered(transferId: string): Promise<void>
  discard(transferId: string): Promise<void>
  unfinished(): Promise<string[]>
  /** The SHA-256 of a published file. */
  contentOf(transferId: string, name: string): Promise<string>
  /** Flips a bit of an unfinished file that is not open. */
  spoil(transferId: string, atByte: number): Promise<void>
}
