/** Limitations of this browser compared with others, in plain words. */
import { bytesText } from '../../protocol/index.ts'
import { databaseFileBytesMax } from '../platform/inbox/database-staging.ts'
import type { Abilities } from '../platform/trial.ts'

export function shortcomingsOf({ keyKeeping, fileKeeping }: Abilities): string[] {
  const shortcomings: string[] = []
  if (keyKeeping === 'wrapped') {
    shortcomings.push(
      'This browser stores the key that opens sealed files encrypted, and this page can read it. A malicious page could ' +
        'copy it.',
    )
  }
  if (fileKeeping === 'database') {
    shortcomings.push(
      `This browser stores no large files for a page: files larger than ${bytesText(databaseFileBytesMax)} cannot be received here. ` +
        'Files of any size can be sent.',
    )
  }
  return shortcomings
}
