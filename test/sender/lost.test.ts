/** A portal returns to an earlier state during a send, because it was restored from a backup. */
import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { Problem } from '../../src/protocol/index.ts'
import type { SendFilesOptions } from '../../src/sender/node.ts'
import { PART_BYTES, sendScene } from './sending.ts'

const content = randomBytes(4 * PART_BYTES + 321)

const scene = sendScene(content)
const { sending, told, journalled } = scene

beforeEach(() => {
  scene.portal.receive = null
})

/** Sets the only transfer back to an earlier state and attempt, without notifications. */
function goBackTo(state: 'receiving' | 'expired'): void {
  const { transferId } = scene.portal.only()
  Object.assign(scene.portal.transfers.get(transferId) ?? {}, { state, attempt: 1, notifications: [] })
}

/** Sends until the file is stored, and keeps waiting. */
async function waiting(options: Partial<SendFilesOptions> = {}) {
  const outcomes = sending(options)
  await expect.poll(told).toContain('stored')
  return { outcomes, transferId: scene.portal.only().transferId }
}

describe('a stored transfer', () => {
  test.each([
    ['does not know any more', () => scene.portal.transfers.clear()],
    ['takes for one that is on its way', () => goBackTo('receiving')],
    ['gave up in its other history', () => goBackTo('expired')],
  ])('that the portal %s is reported as lost, and stays in the journal', async (_what, goBack) => {
    const { outcomes, transferId } = await waiting()
    goBack()
    scene.portal.cutStreams()
    expect(await outcomes).toMatchObject([
      {
        outcome: 'no-answer',
        transferId,
        problem: { code: 'transfer-lost' },
        reason: expect.stringMatching('send it again'),
      },
    ])
    expect(await journalled()).toBe(1)
  })

  test('that is lost is sent again as the same transfer', async () => {
    const { outcomes, transferId } = await waiting()
    scene.portal.transfers.clear()
    scene.portal.cutStreams()
    await outcomes
    scene.portal.receive = (_, receiver) => ({ notification: 'delivered', receiver })
    expect(await sending()).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(scene.portal.content(scene.portal.only()).equals(content)).toBe(true)
    expect(await journalled()).toBe(0)
  })

  test('whose notification has an id of the lost history is delivered', async () => {
    const { outcomes, transferId } = await waiting()
    const [stored] = scene.portal.only().notifications
    scene.portal.cutStreams()
    const notification = { ...scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' }) }
    Object.assign(notification, { eventId: stored?.eventId })
    Object.assign(scene.portal.only().notifications, { 1: notification })
    expect(await outcomes).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['stored', 'delivered'])
  })

  test('with one of two deliveries reported reports the other, and the first once', async () => {
    const { outcomes, transferId } = await waiting({ to: ['bob', 'eve'] })
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    await expect.poll(told).toEqual(['stored', 'delivered'])
    scene.portal.cutStreams()
    // Bob's receiver answers again.
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'eve' })
    expect(await outcomes).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['stored', 'delivered', 'delivered'])
  })
})

describe('an upload', () => {
  test('that the portal no longer knows starts again, and is delivered', async () => {
    scene.portal.receive = (_, receiver) => ({ notification: 'delivered', receiver })
    scene.portal.interfere = ({ path, count }) => {
      if (path.endsWith('/parts/3') && count === 1) scene.portal.transfers.clear()
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.content(scene.portal.only()).equals(content)).toBe(true)
    expect(scene.portal.count(/^PUT .*[0-9a-f]{12}$/)).toBe(2)
  })

  test('that the portal has at an earlier attempt continues with that attempt', async () => {
    scene.portal.receive = (_, receiver) => ({ notification: 'delivered', receiver })
    scene.portal.interfere = ({ path, count }) => {
      if (!path.endsWith('/complete')) return
      if (count === 1) scene.portal.timeOut(scene.portal.only().transferId)
      if (count !== 2) return
      goBackTo('receiving')
      throw new Problem('request-invalid', { detail: 'attempt 2 has not begun' })
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.content(scene.portal.only()).equals(content)).toBe(true)
  })

  test('that is forgotten each time ends as lost, after a few tries', async () => {
    scene.portal.interfere = ({ path }) => {
      if (path.endsWith('/complete')) scene.portal.transfers.clear()
    }
    expect(await sending()).toMatchObject([{ outcome: 'no-answer', problem: { code: 'transfer-lost' } }])
    expect(scene.portal.count(/complete/)).toBeLessThan(10)
    expect(await journalled()).toBe(1)
  })
})
