/** What belongs to a file besides its name and size: what events and decisions tell of it, and what an inbox keeps. */
import {
  type FileTraits,
  fileTraitsOf,
  type PlainMetadata,
  rfc3339Text,
  type TreeSize,
  treeNameEnd,
} from '../protocol/index.ts'
import type { KeptTraits } from './incoming-file.ts'
import type { LeasedOffer } from './leased-offer.ts'

export interface ShownTraits {
  /** Type and subtype, in lower case; null where the sender said none, or the metadata is not open yet. */
  readonly mediaType: string | null
  /** When the file was modified last, at its sender: RFC 3339, with up to nine digits of a second; null where it is unknown. */
  readonly modifiedAt: string | null
  readonly isExecutable: boolean
  /** The announced size of a folder; null where the content is a file. `sizeBytes` is the size of its tar. */
  readonly tree: TreeSize | null
}

/** The properties of a file in its metadata. */
export interface Described {
  /** Name and traits for events. */
  readonly shown: ShownTraits & { readonly name: string }
  readonly kept: KeptTraits
}

/** @param metadata null while it is sealed */
export function describe(
  metadata: PlainMetadata | null,
  { unpacksTrees, keepsTimes }: { readonly unpacksTrees: boolean; readonly keepsTimes: boolean },
): Described {
  const traits = fileTraitsOf(metadata?.mediaType)
  const tree = unpacksTrees ? traits.tree : null
  const name = metadata?.name ?? ''
  return {
    shown: { name: tree === null ? name : folderName(name), ...shownTraits(traits) },
    kept: { ...traits, tree, mtimeNs: keepsTimes ? traits.mtimeNs : null, keepsTimes },
  }
}

function shownTraits({ mediaType, mtimeNs, isExecutable, tree }: FileTraits): ShownTraits {
  return { mediaType, modifiedAt: mtimeNs === null ? null : rfc3339Text(mtimeNs), isExecutable, tree }
}

/** The name of a folder: without the ending of its tar. */
export function folderName(name: string): string {
  return name.length > treeNameEnd.length && name.endsWith(treeNameEnd) ? name.slice(0, -treeNameEnd.length) : name
}

/** A request for files, as an offer names it. `label` is sealed; the library opens it, and says null where it cannot. */
export interface RequestOfFile {
  readonly requestId: string
  readonly label: string | null
}

/** What events tell of a delivery. Name and size are those of the file itself, as soon as sealed metadata is open. */
export type Shown = ShownTraits & {
  readonly transferId: string
  readonly from: string
  name: string
  /** 0 while the size of a stream is not known. */
  sizeBytes: number
  isSizeKnown?: false
  readonly isSealed: boolean
  readonly request?: RequestOfFile
  readonly isStored: boolean
}

export function shownOf(leased: LeasedOffer, { unpacksTrees }: { readonly unpacksTrees: boolean }): Shown {
  const { transferId, from, metadata, sizeBytes, isSizeKnown, request } = leased.offer
  const isStream = isSizeKnown === false
  const plain = 'name' in metadata ? metadata : null
  return {
    ...{ transferId, from },
    ...(isStream ? { sizeBytes: 0, isSizeKnown } : { sizeBytes }),
    ...describe(plain, { unpacksTrees: unpacksTrees && !isStream, keepsTimes: true }).shown,
    isSealed: 'sealed' in metadata,
    ...(request === undefined ? {} : { request }),
    get isStored() {
      return leased.offer.state === 'stored'
    },
  }
}
