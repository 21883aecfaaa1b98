/** What this machine knows of the exported profiles that it has imported. */
import { join } from 'node:path'
import * as Type from 'typebox'
import { Records, stateFolder } from '../../profile/index.ts'

const ImportRecord = Type.Object({
  account: Type.String(),
  /** The journal whose transfers came along, and what its machine knew the portal by; and this one. Missing where none came along. */
  journal: Type.Optional(Type.Object({ id: Type.String(), portalUrl: Type.String(), stateUrl: Type.String() })),
})

/** By the id of the export: its transfers are here, or have ended here. */
export const importRecords = () => new Records(join(stateFolder(), 'imports'), ImportRecord)

/** A journal of another machine whose transfers of an account are in the journal of this one. */
export interface AdoptedJournal {
  readonly id: string
  /** What the other machine knows the portal by. */
  readonly portalUrl: string
}

export async function adoptedJournals(stateUrl: string, account: string): Promise<AdoptedJournal[]> {
  const all = [...(await importRecords().all()).values()]
  return all.flatMap(({ journal, ...record }) =>
    record.account === account && journal?.stateUrl === stateUrl ? [journal] : [],
  )
}

/** The transfers of an account have been taken to another machine, those that came here from others, too. */
export async function disownJournals(stateUrl: string, account: string): Promise<void> {
  const records = importRecords()
  for (const [exportId, record] of await records.all())
    if (record.account === account && record.journal?.stateUrl === stateUrl) await records.write(exportId, { account })
}
