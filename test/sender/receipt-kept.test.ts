import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import type { SendContext } from '../../src/sender/context.ts'
import type { SendEvent } from '../../src/sender/index.ts'
import type { JournalEntry } from '../../src/sender/journal.ts'
import { NotificationLog } from '../../src/sender/notification-log.ts'
import { AccountKeys, signReceipt } from '../../src/trust/index.ts'

const at = '2026-11-30T12:00:00Z'
const manifestDigest = digestOf('sha-256', new Uint8Array())
const layout = { sizeBytes: 10, partSizeBytes: 10, digestAlgorithm: 'sha-256', manifestDigest }

test('a delivery is told as soon as its receipt is verified, and is over only once that is kept', async () => {
  const transferId = newTransferId()
  const [ada, bob] = [await AccountKeys.generate(), await AccountKeys.generate()]
  const about = { transferId, from: 'ada', receiver: 'bob', disposition: 'received', at } as const
  const receipt = await signReceipt({ ...about, ...layout, contentDigest: manifestDigest }, bob)
  const disk = Promise.withResolvers<void>()
  const told = Promise.withResolvers<SendEvent>()
  const keeping = Promise.withResolvers<void>()
  const receipts = {
    keep: () => {
      keeping.resolve()
      return disk.promise
    },
  }
  const context = {
    account: 'ada',
    trust: { keys: ada, receipts },
    receiverKeys: new Map([['bob', bob.publicKeys]]),
    onEvent: told.resolve,
  } as unknown as SendContext
  const metadata = { name: 'a.txt' }
  const log = new NotificationLog({ transferId, to: ['bob'], metadata } as unknown as JournalEntry, context)
  log.check.manifest = { transferId, from: 'ada', to: ['bob'], metadata, ...layout }
  log.check.salt = null
  log.firstIsKnown()

  const delivered = { eventId: '1', at, transferId, attempt: 1, notification: 'delivered', receiver: 'bob' } as const
  log.tell({ ...delivered, receipt })
  expect(await told.promise).toMatchObject({ type: 'notification', notification: { notification: 'delivered' } })
  await keeping.promise
  expect(log.outcome('a.txt')).toMatchObject({ outcome: 'undelivered', waitingFor: ['bob'] })

  disk.resolve()
  await log.answered
  expect(log.outcome('a.txt')).toMatchObject({ outcome: 'delivered' })
})
