/** A small file is stored and offered to a connected receiver by one commit, for which the disk is waited for once. */
import { expect, onTestFinished, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { inboxMessages } from '../../../src/portal/deliveries/inbox.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { receiveInline } from '../../../src/portal/uploads/inline-uploads.ts'
import { Transfers } from '../../../src/portal/uploads/transfers.ts'
import { newTransferId, partSizeBytesDefault } from '../../../src/protocol/index.ts'
import { testFolder } from '../../suites/folder.ts'
import { join } from '../../suites/ledger.ts'
import { aContext } from '../context.ts'

const content = Buffer.from('as small as files can be')

test('storing and offering share a commit, and the receiver is not woken once more', async () => {
  const commits: number[] = []
  const path = `${await testFolder({ inMemory: true })}/ledger.sqlite`
  const ledger = await sqliteLedger({ path, onCommit: (count) => commits.push(count) })
  onTestFinished(() => ledger.close())
  const [ada, bob] = [await join(ledger, 'ada'), await join(ledger, 'bob')]
  const context = aContext({ ledger })
  const stop = new AbortController()
  const request = { account: bob, instanceId: 'instance-1', processId: null, window: 4, isInline: true }
  const messages = inboxMessages(context, request, stop.signal)
  expect((await messages.next()).value).toMatchObject({ type: 'current' })
  const offered = messages.next()
  // The receiver waits now: whatever it asked the ledger for has been answered.
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  commits.length = 0

  const transferId = newTransferId()
  const digest = digestOf('sha-256', content)
  const whole = {
    ...{ to: ['bob'], metadata: { name: 'small' }, sizeBytes: content.length, partSizeBytes: partSizeBytesDefault },
    ...{ digestAlgorithm: 'sha-256', manifestDigest: manifestDigestOf('sha-256', [digest]) },
  }
  const stored = await receiveInline(context, new Transfers(context), { account: ada, transferId, whole, content })
  expect(stored).toMatchObject({ notification: 'stored', transferId })
  expect((await offered).value).toMatchObject({
    type: 'offer',
    offer: { transferId, content: content.toString('base64') },
  })
  expect(commits).toEqual([2])

  const nothing = messages.next()
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(commits).toEqual([2])
  stop.abort()
  expect((await nothing).done).toBe(true)
})
