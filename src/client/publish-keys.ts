import type { PublicKeys } from '../protocol/index.ts'
import type { PortalClient } from './portal-client.ts'
import type { RetryPolicy } from './retry-policy.ts'

/**
 * Publishes the keys of an account if the portal has none, because `join` was interrupted before that, or the portal was restored from
 * an older backup. Keys that the portal has stay unchanged.
 *
 * @throws RemoteProblem and NoResponseError like the retry policy; the signal's reason
 */
export async function publishMissingKeys(
  client: Pick<PortalClient, 'account' | 'setKeys'>,
  keys: PublicKeys,
  retryPolicy: RetryPolicy,
): Promise<void> {
  const told = await retryPolicy.retry((bounds) => client.account(bounds))
  if (told.keys === null) await retryPolicy.retry((bounds) => client.setKeys(keys, bounds))
}
