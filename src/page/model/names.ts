/** Opens the sealed name and size of a file with the keys of this browser. */
import {
  fileTraitsOf,
  type Metadata,
  type PartLayout,
  Problem,
  printable,
  type SealedMetadata,
  type TreeSize,
  wrappedKeyOf,
} from '../../protocol/index.ts'
import { folderName } from '../../receiver/index.ts'
import { type AccountKeys, ContentKey, openedLayout, saltText } from '../../trust/index.ts'

export interface SealedAbout extends PartLayout {
  readonly transferId: string
  readonly from: string
  readonly metadata: Metadata
  /** False while the size of a stream is not known. */
  readonly isSizeKnown?: boolean
}

export interface OpenedAbout {
  /** Safe to show. Null where this browser cannot open it. */
  readonly name: string | null
  /** The size of the original file. */
  readonly sizeBytes: number
  /** Null for a file, and where this browser cannot open it. */
  readonly tree: TreeSize | null
  readonly isSealed: boolean
}

function shown({ name, mediaType }: { readonly name: string; readonly mediaType?: string }) {
  const { tree } = fileTraitsOf(mediaType)
  return { name: printable(tree === null ? name : folderName(name)), tree }
}

/**
 * Names that are already open. The lists show the same transfers repeatedly, and each opening costs a key agreement.
 */
export class Names {
  readonly #account: string
  readonly #keys: AccountKeys
  readonly #opened = new Map<string, Promise<OpenedAbout>>()

  constructor(account: string, keys: AccountKeys) {
    this.#account = account
    this.#keys = keys
  }

  of(about: SealedAbout): Promise<OpenedAbout> {
    let opened = this.#opened.get(about.transferId)
    if (opened === undefined) {
      opened = this.#open(about)
      // The size of a stream grows.
      if (about.isSizeKnown !== false) this.#opened.set(about.transferId, opened)
    }
    return opened
  }

  /**
   * The salt of the content digest in a receipt, as text; null for a file that is not sealed.
   *
   * @throws Problem `seal-unopenable` where this account has no key that opens it. A wrong salt would make a receipt
   * that proves nothing.
   */
  async saltOf(about: SealedAbout): Promise<string | null> {
    return 'sealed' in about.metadata ? saltText((await this.#unseal(about, about.metadata)).contentKey) : null
  }

  async #open(about: SealedAbout): Promise<OpenedAbout> {
    const { metadata, sizeBytes } = about
    if (!('sealed' in metadata)) return { ...shown(metadata), sizeBytes, isSealed: false }
    const opened = await nullIfProblem(async () => shown((await this.#unseal(about, metadata)).opened))
    return {
      ...(opened ?? { name: null, tree: null }),
      sizeBytes: (await nullIfProblem(() => openedLayout(about).sizeBytes)) ?? sizeBytes,
      isSealed: true,
    }
  }

  /** The sender signs the metadata and not the wrapped key. Opening the metadata checks the key. */
  async #unseal({ transferId, from }: SealedAbout, metadata: SealedMetadata) {
    const wrapped = wrappedKeyOf(metadata, this.#account)
    if (wrapped === undefined) throw new Problem('seal-unopenable')
    const contentKey = await ContentKey.unwrap(wrapped, { transferId, from, to: this.#account }, this.#keys)
    return { contentKey, opened: await contentKey.openMetadata(metadata.sealed) }
  }
}

async function nullIfProblem<Result>(act: () => Result | Promise<Result>): Promise<Result | null> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof Problem) return null
    throw error
  }
}
