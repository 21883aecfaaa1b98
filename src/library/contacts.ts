import { RemoteProblem } from '../client/index.ts'
import { type Connection, shortRetryPolicy } from '../profile/index.ts'
import { optionsInvalid, type PublicKeys, parseFingerprint, requireAccountName } from '../protocol/index.ts'
import { fingerprintOf } from '../trust/index.ts'

/** @throws Problem `options-invalid` when the portal names other keys: what was trusted before stays so */
export async function trustFingerprint(
  { client, contacts }: Connection,
  { account, text, signal }: { readonly account: string; readonly text: string; readonly signal: AbortSignal },
): Promise<void> {
  const fingerprint = parseFingerprint(text)
  requireAccountName(account)
  if (fingerprint === null)
    throw optionsInvalid(`'${text}' is not a fingerprint: it looks like abcd-efgh-ijkl-mnop-qrst-uvwx`)
  const named = await keysAtPortal(client, account, signal)
  const offered = named === null ? null : await fingerprintOf(named)
  if (offered !== null && offered !== fingerprint) {
    throw optionsInvalid(
      `the portal says that ${account} has the keys ${offered}, not ${fingerprint}. Nothing was changed. ` +
        `If ${account} insists on the fingerprint you gave, do not trust the portal`,
    )
  }
  await contacts.trust(account, fingerprint, named)
}

/** Null for an account that has no keys, or that has not joined yet: its fingerprint can be trusted already. */
async function keysAtPortal(
  client: Connection['client'],
  account: string,
  signal: AbortSignal,
): Promise<PublicKeys | null> {
  try {
    return (await shortRetryPolicy(signal).retry(() => client.accountOf(account, { signal }))).keys
  } catch (error) {
    if (error instanceof RemoteProblem && error.code === 'receiver-unknown') return null
    throw error
  }
}
