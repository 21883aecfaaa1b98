/** Receiving into a folder. */
import type { Readable } from 'node:stream'
import { openInbox } from './node-inbox.ts'
import { type ReceiveBasics, type ReceiveResult, receiveInto } from './receive.ts'

export interface ReceiveOptions extends ReceiveBasics<Readable> {
  /** Where the files go; created if it does not exist. */
  readonly folder: string
  /** Per transfer; found out by trying if not given. */
  readonly partsInFlight?: number
}

/**
 * Receives until `signal` aborts, or, with `isOnce`, until one delivery has been answered. Connects again and again;
 * a portal that is away is waited for.
 *
 * @throws Problem `folder-unavailable`, `disk-full` or `write-failed` when the folder cannot be used at all;
 *   RemoteProblem when the portal does not want this receiver, `credentials-invalid` for one
 */
export async function receive({ folder, partsInFlight: fixed, ...options }: ReceiveOptions): Promise<ReceiveResult> {
  await using inbox = await openInbox(folder)
  return await receiveInto(inbox, {
    ...options,
    ...(fixed === undefined ? {} : { partsInFlight: { min: fixed, max: fixed } }),
  })
}
