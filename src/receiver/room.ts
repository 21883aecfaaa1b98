/** Whether there is room for the rest of a file. */
import { Problem } from '../protocol/index.ts'
import type { IncomingFile, PartBody } from './incoming-file.ts'

/** @throws Problem `disk-full` */
export function requireRoom(
  { heldBytes, neededBytes }: Pick<IncomingFile<PartBody>, 'heldBytes' | 'neededBytes'>,
  sizeBytes: number,
  freeBytes: number,
): void {
  const needed = neededBytes ?? sizeBytes - heldBytes
  if (needed <= freeBytes) return
  const detail = `the receiver has room for ${freeBytes} bytes, and ${needed} are needed`
  throw new Problem('disk-full', { neededBytes: needed, freeBytes, detail })
}
