/** Under which transfer a file is sent: the one its journal entry names, or a new one. */
import { NoAnswer, RemoteProblem } from '../client/index.ts'
import { choosePartSizeBytes, type Limits, newTransferId } from '../protocol/index.ts'
import type { SendContext } from './context.ts'
import type { JournalEntry, JournalKey } from './journal.ts'
import { isSameSource, type OpenSource, type Source } from './source.ts'

/**
 * The transfer that an earlier run began for this very file. Where the file has changed since, that transfer is
 * cancelled, unless the portal stored it: then it has been promised to its receivers.
 *
 * @returns null where there is nothing to go on with
 */
export async function findBegun(context: SendContext, file: OpenSource): Promise<JournalEntry | null> {
  const entry = await context.journal.read(keyOf(context, file.source))
  if (entry === null || isSameSource(entry.source, file.identity)) return entry
  await cancelUnstored(context, entry.transferId)
  return null
}

/** Makes a new transfer for a file, and records it before the portal hears of it. */
export async function beginAnew(context: SendContext, file: OpenSource): Promise<JournalEntry> {
  const entry: JournalEntry = {
    ...keyOf(context, file.source),
    transferId: newTransferId(),
    source: file.identity,
    partSizeBytes: partSizeBytesFor(file.identity.sizeBytes, context.partSizeBytes, context.limits),
    digestAlgorithm: context.digestAlgorithm,
    createdAt: new Date().toISOString(),
  }
  await context.journal.write(entry)
  return entry
}

/** Cancels a transfer that the portal is still receiving. It may fail to: the transfer expires in any case. */
export async function cancelUnstored({ client, signal }: SendContext, transferId: string): Promise<void> {
  try {
    const { state } = await client.transfer(transferId, { signal })
    if (state === 'receiving') await client.cancel(transferId, { signal })
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof RemoteProblem) && !(error instanceof NoAnswer)) throw error
  }
}

function keyOf({ portalUrl, account, to }: SendContext, { realPath, name }: Source): JournalKey {
  return { portalUrl, account, path: realPath, name, to }
}

/** The part size for a file, within the portal's limits and with no more parts than it takes. */
function partSizeBytesFor(sizeBytes: number, wantedBytes: number, limits: Limits): number {
  const { partSizeBytesMin, partSizeBytesMax, partsPerTransferMax } = limits
  let partSizeBytes = choosePartSizeBytes(sizeBytes, Math.max(wantedBytes, partSizeBytesMin))
  while (sizeBytes > partSizeBytes * partsPerTransferMax && partSizeBytes < partSizeBytesMax) partSizeBytes *= 2
  return Math.min(partSizeBytes, partSizeBytesMax)
}
