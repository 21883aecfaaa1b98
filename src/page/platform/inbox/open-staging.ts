/** Opens the staging store that this browser supports. */
import type { PageDatabase } from '../database.ts'
import { DatabaseStaging } from './database-staging.ts'
import { OriginStaging } from './origin-staging.ts'
import type { Staging } from './staging.ts'

/** Where content is stored until it leaves the browser: in OPFS or in the database. */
export type FileKeeping = 'files' | 'database'

/** @param purpose each purpose has its own files; several may be open at a time */
export function openStaging(
  keeping: FileKeeping,
  database: PageDatabase,
  portalUrl: string,
  purpose: 'inbox' | 'trial',
): Staging {
  if (keeping === 'database') return new DatabaseStaging(database, purpose)
  return new OriginStaging(`${purpose} ${encodeURIComponent(new URL(portalUrl).pathname)}`)
}
