import type { AccountChangeKind } from '../accounts-contract.ts'
import type { Tx } from './context.ts'

/** Records a change of an account, for the audit log and for the connections of a token that is no longer valid. */
export async function recordChange(
  tx: Tx,
  {
    atMs,
    change,
    name,
    deadTokenId = null,
  }: { atMs: number; change: AccountChangeKind; name: string; deadTokenId?: string | null },
): Promise<void> {
  await tx.insertInto('account_changes').values({ at_ms: atMs, change, name, dead_token_id: deadTokenId }).execute()
}
