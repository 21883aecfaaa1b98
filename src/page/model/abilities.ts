/** Limitations of this browser compared with others, in plain words. */
import { bytesText } from '../../protocol/index.ts'
import { databaseFileBytesMax } from '../platform/inbox/database-staging.ts'
import type { Abilities } from '../platform/trial.ts'

export function shortcomingsOf({ keyKeeping, fileKeeping }: Abilities): string[] {
  const shortcomings: string[] = []
  if (keyKeeping === 'wrapped') {
    shortcomings.push(
      'This browser cannot keep the key that opens sealed files out of reach of this page. It is kept encrypted; a page that ' +
        'turned against you could copy it.',
    )
  }
  if (fileKeeping === 'database') {
    shortcomings.push(
      `This browser keeps no large files for a page: a file of more than ${bytesText(databaseFileBytesMax)} cannot be received here. ` +
        'Files of any size can be sent.',
    )
  }
  return shortcomings
}
