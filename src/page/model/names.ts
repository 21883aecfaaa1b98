/** What a file is called and how large it is, where that is sealed: opened with the keys of this browser. */
import { type Metadata, type PartLayout, Problem, printable } from '../../protocol/index.ts'
import { type AccountKeys, ContentKey, openedLayout } from '../../trust/index.ts'

export interface SealedAbout extends PartLayout {
  readonly transferId: string
  readonly from: string
  readonly metadata: Metadata
}

export interface OpenedAbout {
  /** Safe to show. Null where it cannot be opened. */
  readonly name: string | null
  /** Of the file itself. */
  readonly sizeBytes: number
  readonly isSealed: boolean
}

/** What has been opened: the same transfers are listed again and again, and each opening is a key agreement. */
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
      this.#opened.set(about.transferId, opened)
    }
    return opened
  }

  async #open(about: SealedAbout): Promise<OpenedAbout> {
    const { transferId, from, metadata, sizeBytes } = about
    if (!('sealed' in metadata)) return { name: printable(metadata.name), sizeBytes, isSealed: false }
    try {
      const layout = openedLayout(about)
      const wrapped = metadata.keys[this.#account]
      if (wrapped === undefined) return { name: null, sizeBytes: layout.sizeBytes, isSealed: true }
      const contentKey = await ContentKey.unwrap(wrapped, { transferId, from, to: this.#account }, this.#keys)
      const { name } = await contentKey.openMetadata(metadata.sealed)
      return { name: printable(name), sizeBytes: layout.sizeBytes, isSealed: true }
    } catch (error) {
      if (error instanceof Problem) return { name: null, sizeBytes, isSealed: true }
      throw error
    }
  }
}
