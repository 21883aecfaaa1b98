/** The page's picture of a transfer, compared with its events. It never claims more than they say. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adviceForReceiver, adviceForSender } from '../../src/page/model/advice.ts'
import { pictureOf, shareOf } from '../../src/page/model/hops.ts'
import { OutgoingFile } from '../../src/page/model/outgoing-file.ts'
import { receivedSteps, sentSteps } from '../../src/page/model/timeline.ts'
import {
  deliveryStates,
  newTransferId,
  Problem,
  problemKinds,
  type ReceivedDelivery,
  type TransferStatus,
  transferStates,
} from '../../src/protocol/index.ts'
import type { SendEvent } from '../../src/sender/index.ts'
import '../suites/random.ts'

const SIZE_BYTES = 1000
const transferId = newTransferId()
const to = ['bob', 'carol']
const at = '2026-11-26T12:00:00.000Z'

function aFile(onAgain: (to: readonly string[]) => void = () => {}): OutgoingFile {
  const again = (_file: OutgoingFile, names: readonly string[]): void => onAgain(names)
  const actions = { cancel: async () => {}, again, dismiss: () => {} }
  return new OutgoingFile(
    { key: 1, name: 'report.pdf', sizeBytes: SIZE_BYTES, tree: null, to, isSealed: true, account: 'alice', at: null },
    actions,
  )
}

const problem = new Problem('disk-full').toJSON()
const bytes = fc.integer({ min: 0, max: SIZE_BYTES })
const receiver = fc.constantFrom(...to)
const about = { transferId, at, attempt: 1, eventId: '1' }

const anyEvent: fc.Arbitrary<SendEvent> = fc.oneof(
  fc.record({ isResumed: fc.boolean() }).map(({ isResumed }): SendEvent => {
    return { type: 'started', transferId, path: 'x', sizeBytes: SIZE_BYTES, to, isSealed: true, isResumed, tree: null }
  }),
  fc
    .tuple(bytes, bytes, bytes)
    .map((three) => three.sort((one, other) => one - other))
    .map(([acknowledgedBytes = 0, sentBytes = 0, hashedBytes = 0]): SendEvent => {
      return { type: 'uploading', transferId, acknowledgedBytes, sentBytes, hashedBytes }
    }),
  fc.tuple(receiver, bytes).map(([receiver, fetchedBytes]): SendEvent => {
    return { type: 'fetched', transferId, receiver, fetchedBytes }
  }),
  fc.constant<SendEvent>({ type: 'silence', transferId, reason: 'no answer', pauseMs: 100 }),
  fc.constant<SendEvent>({ type: 'notification', notification: { ...about, notification: 'stored' } }),
  fc.tuple(receiver, fc.boolean()).map(([receiver, isSigned]): SendEvent => {
    const receipt = isSigned ? { receipt: 'a.b.c' } : {}
    return { type: 'notification', notification: { ...about, notification: 'delivered', receiver, ...receipt } }
  }),
  receiver.map((receiver): SendEvent => {
    return { type: 'notification', notification: { ...about, notification: 'failed', receiver, problem } }
  }),
)

/** The last events of each kind. */
function told(events: readonly SendEvent[]) {
  const uploads = events.filter((event) => event.type === 'uploading')
  const notifications = events.flatMap((event) => (event.type === 'notification' ? [event.notification] : []))
  const isStored = notifications.some(({ notification }) => notification === 'stored')
  const ofReceiver = (name: string, kind: string) =>
    notifications.some((one) => one.notification === kind && 'receiver' in one && one.receiver === name)
  return { acknowledgedBytes: uploads.at(-1)?.acknowledgedBytes ?? 0, isStored, ofReceiver }
}

describe('a sent file', () => {
  test('no hop is drawn further than the other side has acknowledged, for events in any order', () => {
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), (events) => {
        const file = aFile()
        for (const [index, event] of events.entries()) {
          file.apply(event)
          const { acknowledgedBytes, isStored, ofReceiver } = told(events.slice(0, index + 1))
          const { first, second } = file.picture.value
          expect(first.state === 'done').toBe(isStored)
          if ('doneBytes' in first) expect(first.doneBytes).toBe(acknowledgedBytes)
          for (const { receiver, hop } of second) {
            if (hop.state === 'done') expect(ofReceiver(receiver, 'delivered')).toBe(true)
            if (ofReceiver(receiver, 'failed') && !ofReceiver(receiver, 'delivered')) expect(hop.state).toBe('failed')
          }
          const progress = file.progress.value
          if (progress.phase === 'sending') expect(progress.acknowledgedBytes).toBe(acknowledgedBytes)
          if (progress.phase === 'stored' || progress.phase === 'ended') expect(isStored).toBe(true)
          if (progress.phase === 'ended') {
            for (const name of to) {
              expect(ofReceiver(name, 'delivered') || ofReceiver(name, 'failed')).toBe(true)
              if (progress.proven.includes(name)) {
                expect(events.some((one) => one.type === 'notification' && 'receipt' in one.notification)).toBe(true)
              }
            }
          }
        }
      }),
    )
  })

  test('a stored file that the portal has lost is no longer drawn as stored, and is sent to all receivers again', () => {
    const again: (readonly string[])[] = []
    const file = aFile((names) => again.push(names))
    file.apply({
      type: 'started',
      transferId,
      path: 'x',
      sizeBytes: SIZE_BYTES,
      to,
      isSealed: true,
      isResumed: false,
      tree: null,
    })
    file.apply({ type: 'notification', notification: { ...about, notification: 'stored' } })
    file.apply({ type: 'notification', notification: { ...about, notification: 'delivered', receiver: 'bob' } })
    expect(file.progress.value).toMatchObject({ phase: 'stored', waitingFor: ['carol'] })
    const loss = new Problem('transfer-lost').toJSON()
    file.end({ outcome: 'no-answer', path: 'x', transferId, reason: loss.title, problem: loss })
    expect(file.progress.value).toEqual({ phase: 'refused', problem: loss })
    expect(file.picture.value.first).toEqual({ state: 'failed', problem: loss, at: null })
    file.sendAgain()
    expect(again).toEqual([to])
  })

  test('silence is shown until the next sign of life', () => {
    const file = aFile()
    file.apply({
      type: 'started',
      transferId,
      path: 'x',
      sizeBytes: SIZE_BYTES,
      to,
      isSealed: true,
      isResumed: false,
      tree: null,
    })
    file.apply({ type: 'uploading', transferId, acknowledgedBytes: 10, sentBytes: 500, hashedBytes: 500 })
    file.apply({ type: 'silence', transferId, reason: 'the connection broke', pauseMs: 100 })
    expect(file.progress.value).toEqual({ phase: 'silent', reason: 'the connection broke' })
    expect(file.picture.value.first).toEqual({ state: 'held', doneBytes: 10, sizeBytes: SIZE_BYTES })
    file.apply({ type: 'uploading', transferId, acknowledgedBytes: 20, sentBytes: 500, hashedBytes: 500 })
    expect(file.progress.value).toMatchObject({ phase: 'sending', acknowledgedBytes: 20, underwayBytes: 480 })
  })

  test('a delivery without a receipt is not shown as proven', () => {
    const file = aFile()
    file.apply({ type: 'notification', notification: { ...about, notification: 'stored' } })
    file.apply({ type: 'notification', notification: { ...about, notification: 'delivered', receiver: 'bob' } })
    file.apply({
      type: 'notification',
      notification: { ...about, notification: 'delivered', receiver: 'carol', receipt: 'a.b.c' },
    })
    expect(file.progress.value).toEqual({ phase: 'ended', failures: [], proven: ['carol'] })
  })
})

function aStatus(state: TransferStatus['state'], deliveryState: (typeof deliveryStates)[number]): TransferStatus {
  return {
    ...{ transferId, state, attempt: 1, from: 'alice', to: ['bob'], sizeBytes: SIZE_BYTES, partSizeBytes: SIZE_BYTES },
    ...{ metadata: { name: 'x' }, digestAlgorithm: 'sha-256', createdAt: at, expiresAt: at, manifest: null, parts: [] },
    deliveries: [{ receiver: 'bob', state: deliveryState, fetchedBytes: 400, offers: 1 }],
    notifications: [],
  }
}

describe('a transfer from the portal’s status', () => {
  test('the second hop shows nothing before the first is done', () => {
    for (const state of transferStates) {
      for (const deliveryState of deliveryStates) {
        const { first, second } = pictureOf(aStatus(state, deliveryState))
        const isStored = state === 'stored' || state === 'ended'
        expect(first.state === 'done', state).toBe(isStored)
        if (!isStored) expect(second[0]?.hop.state, `${state} ${deliveryState}`).toBe('ahead')
        else expect(second[0]?.hop.state === 'done', deliveryState).toBe(deliveryState === 'delivered')
      }
    }
  })

  test('of a stream that has not ended no share is drawn: what has come so far is not its size', () => {
    for (const deliveryState of ['waiting', 'offered'] as const) {
      const { first, second } = pictureOf({ ...aStatus('receiving', deliveryState), isSizeKnown: false })
      expect(shareOf(first)).toBe(null)
      expect(second.map(({ hop }) => hop.state)).toEqual(['ahead'])
    }
  })

  test('its timeline is sorted by time, and the present state comes last', () => {
    const status = aStatus('stored', 'offered')
    const timed: TransferStatus = {
      ...status,
      deliveries: [
        { receiver: 'bob', state: 'offered', fetchedBytes: 4, offers: 1, offeredAt: '2026-11-26T12:00:03.000Z' },
      ],
      notifications: [{ ...about, at: '2026-11-26T12:00:05.000Z', notification: 'stored' }],
    }
    const steps = sentSteps(timed, new Set())
    expect(steps.map((step) => step.at)).toEqual([at, '2026-11-26T12:00:03.000Z', '2026-11-26T12:00:05.000Z', null])
    expect(steps.map(({ hop }) => hop)).toEqual([0, 2, 1, 2])
  })

  test('a delivery with an invalid receipt is shown as a claim of the portal', () => {
    const delivered = { ...about, notification: 'delivered', receiver: 'bob', receipt: 'a.b.c' } as const
    const status = { ...aStatus('ended', 'delivered'), notifications: [delivered] }
    expect(sentSteps(status, new Set(['bob'])).at(-1)?.text).toContain('proves nothing')
    expect(sentSteps(status, new Set()).at(-1)?.text).toBe('Delivered to bob')
  })

  test('a received delivery that failed says why', () => {
    const delivery: ReceivedDelivery = {
      ...{
        transferId,
        from: 'carol',
        metadata: { name: 'x' },
        sizeBytes: 1,
        partSizeBytes: 1,
        digestAlgorithm: 'sha-256',
      },
      ...{ state: 'failed', offers: 1, fetchedBytes: 0, problem, createdAt: at, expiresAt: at, endedAt: at },
    }
    expect(receivedSteps(delivery).at(-1)).toMatchObject({ hop: 2, problem, advice: adviceForReceiver(problem) })
  })
})

describe('advice', () => {
  const jsonOf = (code: string) => ({ type: '', title: '', status: 400, code })

  test('every end of a transfer has advice for its sender', () => {
    const without = Object.entries(problemKinds)
      .filter(([code, { next }]) => next === 'refused' && adviceForSender(jsonOf(code), 'bob') === null)
      .map(([code]) => code)
    // These codes never reach a sender in the page: it sends no streams, the transfer ended for another reason, or another receiver got it.
    const unseen = [
      'link-taken',
      'instance-in-use',
      'delivery-ended',
      'seal-broken',
      'transfer-too-old',
      'stream-unsupported',
    ]
    expect(without).toEqual(unseen)
  })

  test('an unknown code has none', () => {
    expect(adviceForSender(jsonOf('new-in-a-later-version'), 'bob')).toBe(null)
    expect(adviceForReceiver(jsonOf('new-in-a-later-version'))).toBe(null)
  })
})
