/** Receives files into the inbox of the command line, without a portal. */
import { Readable } from 'node:stream'
import { digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { partCount, partSpan } from '../../src/protocol/index.ts'
import { noTraits } from '../../src/receiver/incoming-file.ts'
import { openInbox } from '../../src/receiver/node-inbox.ts'
import { contentOf, type TestFile, treeSizeOf } from './test-file.ts'

const PART_BYTES = 20_000

export interface TestReceiver extends AsyncDisposable {
  /** Completes a file that an earlier process began, or receives it from the beginning. */
  readonly receive: (file: TestFile) => Promise<void>
}

export async function openReceiver(folder: string): Promise<TestReceiver> {
  const inbox = await openInbox(folder, { mayCreate: true })

  async function receive(file: TestFile): Promise<void> {
    const { transferId, name } = file
    const bytes = contentOf(file)
    const layout = { sizeBytes: bytes.length, partSizeBytes: PART_BYTES, digestAlgorithm: 'sha-256' } as const
    const { signal } = new AbortController()
    if ((await inbox.published(transferId)) === null) {
      const incoming = await inbox.open(transferId, layout, signal, { ...noTraits, tree: treeSizeOf(file) })
      for (let partNumber = 1; partNumber <= partCount(layout); partNumber++) {
        const { offsetBytes, lengthBytes } = partSpan(layout, partNumber)
        const part = bytes.subarray(offsetBytes, offsetBytes + lengthBytes)
        const digest = digestOf('sha-256', part)
        const arriving = { partNumber, lengthBytes, digest, digestAlgorithm: 'sha-256', seal: null } as const
        if (incoming.held.get(partNumber) === digest) continue
        await incoming.receivePart({ ...arriving, body: Readable.from([part]) }, { idleMs: 10_000, signal })
      }
      const manifestDigest = manifestDigestOf('sha-256', [...incoming.contentDigests()])
      await inbox.commit(transferId, name, { manifestDigest, receipt: null }, incoming.finish())
    }
    await inbox.answered(transferId)
  }

  return { receive, [Symbol.asyncDispose]: () => inbox[Symbol.asyncDispose]() }
}
