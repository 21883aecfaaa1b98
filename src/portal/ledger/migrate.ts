/** Brings a database to the newest schema. Migrations are numbered and only ever added. */
import type { Kysely } from 'kysely'
import { Migrator } from 'kysely/migration'
import * as first from './migrations/0001-first.ts'
import * as accountCare from './migrations/0002-account-care.ts'
import * as trust from './migrations/0003-trust.ts'
import * as whole from './migrations/0004-whole.ts'
import * as oneRequest from './migrations/0005-one-request.ts'
import * as severalPortals from './migrations/0006-several-portals.ts'

const migrations = {
  '0001-first': first,
  '0002-account-care': accountCare,
  '0003-trust': trust,
  '0004-whole': whole,
  '0005-one-request': oneRequest,
  '0006-several-portals': severalPortals,
}

/** @throws Error when a migration fails, or when the database was made by a newer version */
export async function migrate<Tables>(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error } = await migrator.migrateToLatest()
  if (error !== undefined) {
    throw new Error('the ledger could not be brought to the schema of this version', { cause: error })
  }
}
