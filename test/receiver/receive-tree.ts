/** Receives a tar as a tree into an inbox, without a portal. */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { newTransferId, partCount, partSpan, type TreeSize } from '../../src/protocol/index.ts'
import { type IncomingFile, noTraits } from '../../src/receiver/incoming-file.ts'
import type { FolderInbox } from '../../src/receiver/node-inbox.ts'

const { signal } = new AbortController()

export interface TreeToReceive {
  readonly tar: Uint8Array
  readonly size: TreeSize
  readonly name?: string
  readonly transferId?: string
  readonly partSizeBytes?: number
  readonly keepsTimes?: boolean
  /** The numbers of the parts, in the order in which they come. */
  readonly order?: readonly number[]
}

/** @returns the name in the folder */
export async function receiveTree(inbox: FolderInbox, tree: TreeToReceive): Promise<string> {
  const { tar, size, name = 'photos', transferId = newTransferId(), partSizeBytes = 65_536 } = tree
  const layout = { sizeBytes: tar.length, partSizeBytes, digestAlgorithm: 'sha-256' } as const
  const numbers = Array.from({ length: partCount(layout) }, (_, index) => index + 1)
  const digests = numbers.map((partNumber) => digestOf('sha-256', partOf(tar, layout, partNumber)))
  const incoming = await inbox.open(transferId, layout, signal, {
    ...noTraits,
    tree: size,
    keepsTimes: tree.keepsTimes ?? true,
  })
  try {
    for (const partNumber of tree.order ?? numbers) await receivePart(incoming, tar, layout, partNumber)
    const manifestDigest = manifestDigestOf('sha-256', digests)
    const published = await inbox.commit(transferId, name, { manifestDigest, receipt: null }, incoming.finish())
    return published.name
  } catch (error) {
    await incoming.close()
    await inbox.discard(transferId)
    throw error
  }
}

type Layout = { readonly sizeBytes: number; readonly partSizeBytes: number; readonly digestAlgorithm: 'sha-256' }

function partOf(tar: Uint8Array, layout: Layout, partNumber: number): Uint8Array {
  const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
  return tar.subarray(offsetBytes, offsetBytes + lengthBytes)
}

export async function receivePart(
  incoming: IncomingFile<Readable>,
  tar: Uint8Array,
  layout: Layout,
  partNumber: number,
): Promise<void> {
  const bytes = partOf(tar, layout, partNumber)
  const about = { partNumber, lengthBytes: bytes.length, digestAlgorithm: 'sha-256', seal: null } as const
  const part = { ...about, digest: digestOf('sha-256', bytes), body: Readable.from([bytes]) }
  await incoming.receivePart(part, { idleMs: 60_000, signal })
}

/** Everything in a folder: paths, and contents of files byte by byte, `/` for folders, and `-> target` for links. */
export function treeIn(folder: string): Record<string, string> {
  const found: Record<string, string> = {}
  // `readdirSync` with `recursive` would follow links.
  const look = (above: string): void => {
    for (const name of readdirSync(join(folder, above)).sort()) {
      const path = above === '' ? name : `${above}/${name}`
      const stats = lstatSync(join(folder, path))
      if (stats.isSymbolicLink()) found[path] = `-> ${readlinkSync(join(folder, path))}`
      else if (stats.isDirectory()) {
        found[path] = '/'
        look(path)
      } else found[path] = readFileSync(join(folder, path), 'latin1')
    }
  }
  look('')
  return found
}
