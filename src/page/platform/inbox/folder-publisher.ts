/**
 * Publishes in the folder that the user has chosen, exactly once. The page records transfer, name and folder before it copies, and the
 * success after it. A later run that finds only the first record compares what is there with the browser's own copy. It copies a file again
 * unless it is whole, and completes a tree.
 */
import { numberedName, Problem, sameNamesMax, type TreeSize } from '../../../protocol/index.ts'
import { type CommitRecord, type Published, publishedBy } from '../../../receiver/index.ts'
import { type Arrivals, type ArrivingRecord, OvertakenError, type PublishingRecord } from './arrivals.ts'
import { copyInto, entryIn, holdsContent, removeEmpty, removeUnlessFull } from './folder-copy.ts'
import type { Staging } from './staging.ts'
import { storageReasonOf } from './storage-problem.ts'
import { TreeFolder } from './tree-folder.ts'
import type { Unpacked, WritingProgress } from './tree-progress.ts'
import { checkTree } from './tree-reading.ts'

/** What is recorded of a file beside its name. */
export type CommitAbout = Pick<CommitRecord, 'manifestDigest' | 'receipt' | 'signedBy'>

export interface PublisherContext {
  readonly arrivals: Arrivals
  readonly staging: Staging
  /** Aborts copies when the inbox closes, because another tab may then make them. */
  readonly ending: AbortSignal
  readonly onWriting: (transferId: string, progress: WritingProgress) => void
}

export class FolderPublisher {
  readonly #context: PublisherContext

  constructor(context: PublisherContext) {
    this.#context = context
  }

  /** @throws Problem `name-refused`, `tree-invalid`, `write-failed`; OvertakenError; errors of the browser */
  async publish(
    folder: FileSystemDirectoryHandle,
    transferId: string,
    name: string,
    about: CommitAbout,
  ): Promise<Published> {
    const known = await this.#startOf(folder, transferId)
    if (known.state === 'published') return publishedBy(known.record)
    const { layout, mediaType = null, tree = null } = known
    const unpacked = tree === null ? null : await this.checked(transferId, tree)
    for (const finalName of namesFrom(name, tree !== null)) {
      if ((await entryIn(folder, finalName)) !== null) continue
      const record: CommitRecord = { transferId, finalName, ...about }
      const publishing: PublishingRecord = { state: 'publishing', transferId, layout, mediaType, tree, record, folder }
      await this.#context.arrivals.put(known, publishing)
      await this.#copy(publishing, unpacked, false)
      return publishedBy(record)
    }
    throw tooMany()
  }

  /**
   * Finds out whether a copy that was interrupted is whole. That of a tree is completed.
   *
   * @param folder the one that the user has chosen; null for none
   */
  async hasPublished(publishing: PublishingRecord, folder: FileSystemDirectoryHandle | null): Promise<boolean> {
    const isChosen = folder !== null && (await folder.isSameEntry(publishing.folder))
    if (isChosen && publishing.tree != null) {
      await this.#copy(publishing, await this.checked(publishing.transferId, publishing.tree), true)
      return true
    }
    // The user has chosen another folder since, and the old one may be unreadable now.
    const looking = this.#isPublished(publishing)
    if (!(await (isChosen ? looking : looking.catch(() => false)))) return false
    await this.#note(publishing, null)
    return true
  }

  /** Like {@link hasPublished} in the folder of the copy, without completing it. @returns null where that cannot be read */
  async isThere(publishing: PublishingRecord): Promise<boolean | null> {
    const isThere = await this.#isPublished(publishing).catch(() => null)
    if (isThere === true) await this.#note(publishing, null)
    return isThere
  }

  /** Returns an unpublished transfer to the state of receiving. All of its parts are still there. */
  async unpublish(publishing: PublishingRecord): Promise<ArrivingRecord> {
    const { transferId, layout, mediaType = null, tree = null, folder, record } = publishing
    if (tree === null) await removeEmpty(folder, record.finalName, layout.sizeBytes)
    else await this.#removeTree(publishing)
    const arriving = { state: 'arriving', transferId, layout, mediaType, tree, touchedAtMs: Date.now() } as const
    await this.#context.arrivals.put(publishing, arriving)
    return arriving
  }

  /** @throws Problem `tree-invalid` */
  async checked(transferId: string, tree: TreeSize): Promise<Unpacked> {
    const { staging, ending } = this.#context
    return { linkCount: await checkTree(await staging.file(transferId), tree, ending), renamedCount: 0, renamed: [] }
  }

  /** A copy that the browser interrupted, because it took its permission back, is completed. */
  async #startOf(folder: FileSystemDirectoryHandle, transferId: string) {
    const { arrivals } = this.#context
    let known = await arrivals.get(transferId)
    if (known?.state === 'publishing') {
      if (!(await this.hasPublished(known, folder))) return this.unpublish(known)
      known = await arrivals.get(transferId)
      if (known?.state === 'published') return known
    }
    if (known?.state !== 'arriving') throw new OvertakenError('the file is no longer arriving in this tab')
    return known
  }

  /** @param unpacked null for a file */
  async #copy(publishing: PublishingRecord, unpacked: Unpacked | null, isResumed: boolean): Promise<void> {
    const { staging, ending, onWriting } = this.#context
    const { transferId, folder, record } = publishing
    const content = await staging.file(transferId)
    if (unpacked === null) {
      try {
        await copyInto(folder, record.finalName, content, ending)
      } catch (error) {
        await this.unpublish(publishing)
        throw error
      }
      return this.#note(publishing, null)
    }
    try {
      const writer = await TreeFolder.in(folder, record.finalName, true)
      const onProgress = (progress: WritingProgress): void => onWriting(transferId, progress)
      await writer.write(content, { isResumed, signal: ending, onProgress })
      const { renamedCount, renamed } = writer
      await this.#note(publishing, { ...unpacked, renamedCount, renamed })
    } catch (error) {
      const reason = storageReasonOf(error)
      // What is written is completed when this tab, or the one that took over, may write again.
      const isLater = ending.aborted || reason === 'NotAllowedError' || reason === 'NotFoundError'
      if (!isLater && !(error instanceof OvertakenError)) await this.unpublish(publishing)
      throw error
    }
  }

  async #isPublished({ transferId, folder, record, layout, tree }: PublishingRecord): Promise<boolean> {
    const { staging, arrivals, ending } = this.#context
    if (tree != null) {
      const content = await staging.file(transferId)
      return (await TreeFolder.in(folder, record.finalName, false)).isWhole(content, ending)
    }
    const entry = await entryIn(folder, record.finalName)
    if (!(entry instanceof File) || entry.size !== layout.sizeBytes) return false
    return holdsContent(entry, layout, await arrivals.parts(transferId))
  }

  async #note(publishing: PublishingRecord, unpacked: Unpacked | null): Promise<void> {
    const { transferId, layout, mediaType = null, tree = null, record } = publishing
    const state = { state: 'published', place: 'folder', isAnswered: false, atMs: Date.now() } as const
    const { arrivals, staging } = this.#context
    await arrivals.publish(publishing, { transferId, layout, mediaType, tree, unpacked, record, ...state })
    await staging.remove(transferId)
  }

  /** Removes what is written of a tree, as far as the browser lets it. */
  async #removeTree({ transferId, folder, record }: PublishingRecord): Promise<void> {
    const { staging, ending } = this.#context
    try {
      const content = await staging.file(transferId)
      await (await TreeFolder.in(folder, record.finalName, false)).remove(content, ending)
      await removeUnlessFull(folder, record.finalName)
    } catch (error) {
      ending.throwIfAborted()
      // Without the permission it stays, beside the delivered one.
      if (storageReasonOf(error) === null) throw error
    }
  }
}

export function namesFrom(name: string, isFolder = false): string[] {
  return Array.from({ length: sameNamesMax + 1 }, (_, number) => numberedName(name, number, { isFolder }))
}

export function tooMany(): Problem {
  return new Problem('name-refused', { detail: `the receiver has ${sameNamesMax} files of that name already` })
}
