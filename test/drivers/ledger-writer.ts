/** One of several processes that write to one ledger at the same time: see `sqlite.test.ts` and `postgres.test.ts`. */
import { once } from 'node:events'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { newTransferId } from '../../src/protocol/index.ts'

const TRANSFERS = 10
const [, , place = '', name = ''] = process.argv

// All processes open the ledger, which does not exist yet, at the same moment.
process.send?.('ready')
await once(process, 'message')

const ledger = await (place.startsWith('postgres:') ? postgresLedger({ url: place }) : sqliteLedger({ path: place }))
await ledger.createInvite({ name, secretHash: name, lifetimeMs: 60_000 })
const account = await ledger.redeemInvite(name, { tokenId: name, tokenHash: name })
if (account === null) throw new Error('the invite was not taken')
const transfer = {
  senderId: account.accountId,
  to: [name],
  metadata: { name: 'a' },
  sizeBytes: 1000,
  partSizeBytes: 100,
  digestAlgorithm: 'sha-256',
}
const admission = {
  expiryMs: 60_000,
  uploadTimeoutMs: 60_000,
  accountBytesMax: 1e9,
  accountTransfersMax: 1e3,
  accountUploadsMax: 100,
  accountGuestsMax: 1000,
  accountGuestBytesMax: 1e12,
  storageBytesMax: 1e9,
  freeBytes: null,
}
for (let i = 0; i < TRANSFERS; i++) {
  await ledger.announce({ ...transfer, transferId: newTransferId() }, admission)
  await ledger.transfersOf(account.accountId, { before: null, limit: 10 })
}
await ledger.close()
process.disconnect()
