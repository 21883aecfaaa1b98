/** Brings a database to the newest schema. Migrations are numbered and only ever added. */
import { type Kysely, sql } from 'kysely'
import { Migrator } from 'kysely/migration'
import { Problem } from '../../protocol/index.ts'
import { plainReason } from '../monitoring/log.ts'
import * as first from './migrations/0001-first.ts'
import * as accountManagement from './migrations/0002-account-care.ts'
import * as trust from './migrations/0003-trust.ts'
import * as whole from './migrations/0004-whole.ts'
import * as oneRequest from './migrations/0005-one-request.ts'
import * as severalPortals from './migrations/0006-several-portals.ts'
import * as manyWriters from './migrations/0007-many-writers.ts'
import * as watch from './migrations/0008-watch.ts'
import * as clock from './migrations/0010-clock.ts'
import * as streams from './migrations/0011-streams.ts'
import * as guests from './migrations/0012-guests.ts'
import * as webhooks from './migrations/0013-webhooks.ts'
import * as uploads from './migrations/0014-uploads.ts'
import * as tails from './migrations/0015-tails.ts'

const migrations = {
  '0001-first': first,
  '0002-account-care': accountManagement,
  '0003-trust': trust,
  '0004-whole': whole,
  '0005-one-request': oneRequest,
  '0006-several-portals': severalPortals,
  '0007-many-writers': manyWriters,
  '0008-watch': watch,
  '0010-clock': clock,
  '0011-streams': streams,
  '0012-guests': guests,
  '0013-webhooks': webhooks,
  '0014-uploads': uploads,
  '0015-tails': tails,
}

/** @throws Problem `ledger-unusable` when a migration fails, or when the database was made by a newer version */
export async function migrate<Tables>(db: Kysely<Tables>): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } })
  const { error } = await migrator.migrateToLatest()
  if (error === undefined) return
  if (error instanceof Problem) throw error
  const newer = await unknownMigrations(db)
  if (newer.length > 0) {
    const detail = `it was made by a newer version of this program, which added ${newer.join(', ')}: start that version, or a later one`
    throw new Problem('ledger-unusable', { detail }, { cause: error })
  }
  const detail = `it could not be brought to the schema of this version: ${plainReason(error)}`
  throw new Problem('ledger-unusable', { detail }, { cause: error })
}

/** Migrations in the database that this version does not know. */
async function unknownMigrations<Tables>(db: Kysely<Tables>): Promise<string[]> {
  try {
    const { rows } = await sql<{ name: string }>`select name from kysely_migration order by name`.execute(db)
    return rows.map(({ name }) => name).filter((name) => !(name in migrations))
  } catch {
    // The table does not exist. The earlier error is the better one to report.
    return []
  }
}
