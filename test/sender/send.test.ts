import { randomBytes } from 'node:crypto'
import { appendFile, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { type Announcement, Problem } from '../../src/protocol/index.ts'
import type { SendFilesOptions } from '../../src/sender/node.ts'
import { PART_BYTES, sendScene } from './sending.ts'

const content = randomBytes(4 * PART_BYTES + 321)

const scene = sendScene(content)
const { sending, told, journalled } = scene

function nameOf({ metadata }: Announcement): string {
  return 'name' in metadata ? metadata.name : ''
}

/** Interrupts a send at the first request that matches `when`. */
async function interrupted(when: RegExp, options: Partial<SendFilesOptions> = {}): Promise<void> {
  const stop = new AbortController()
  const reason = new Error('interrupted')
  scene.portal.interfere = ({ method, path, raw }) => {
    if (!when.test(`${method} ${path}`)) return
    stop.abort(reason)
    raw.destroy()
  }
  await expect(sending({ partsInFlight: 1, ...options, signal: stop.signal })).rejects.toBe(reason)
  scene.portal.interfere = () => {}
  scene.events.length = 0
}

describe('a file', () => {
  test('is stored and delivered, reported in this order, and the journal is empty afterwards', async () => {
    expect(await sending()).toMatchObject([{ outcome: 'delivered', path: scene.folder.join('file') }])
    const held = scene.portal.only()
    expect(scene.portal.content(held).equals(content)).toBe(true)
    expect(held.announcement).toMatchObject({ to: ['bob'], metadata: { name: 'file' }, sizeBytes: content.length })
    expect(told()).toEqual(['stored', 'delivered'])
    expect(await journalled()).toBe(0)
    expect(scene.events.findLast((event) => event.type === 'uploading')).toMatchObject({
      hashedBytes: content.length,
      sentBytes: content.length,
      acknowledgedBytes: content.length,
    })
  })

  test('that is empty has no part and is delivered', async () => {
    await writeFile(scene.folder.join('empty'), '')
    expect(await sending({ paths: [scene.folder.join('empty')] })).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.count(/parts/)).toBe(0)
  })

  test('that one of two receivers refuses has failed, with the problem of that receiver', async () => {
    const problem = { ...new Problem('disk-full', { freeBytes: 7 }).toJSON() }
    scene.portal.receive = (_, receiver) =>
      receiver === 'eve' ? { notification: 'failed', receiver, problem } : { notification: 'delivered', receiver }
    const [outcome] = await sending({ to: ['eve', 'bob'] })
    expect(outcome).toMatchObject({ outcome: 'failed', failures: [{ receiver: 'eve', problem }] })
    expect(await journalled()).toBe(0)
  })

  test('is not followed after the first notification unless the caller waits', async () => {
    scene.portal.receive = null
    expect(await sending({ isWaiting: false })).toMatchObject([{ outcome: 'stored' }])
    expect(await journalled()).toBe(0)
  })

  test('that is refused does not stop the others', async () => {
    await writeFile(scene.folder.join('large'), randomBytes(10))
    scene.portal.interfere = ({ method }) => {
      const large = [...scene.portal.transfers.values()].find(({ announcement }) => nameOf(announcement) === 'large')
      if (method === 'PUT' && large?.state === 'receiving') large.state = 'refused'
    }
    const outcomes = await sending({
      paths: [scene.folder.join('large'), scene.folder.join('file')],
      transfersAtOnce: 1,
    })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['refused', 'delivered'])
  })
})

describe('the content', () => {
  test('is sent again where a part arrived damaged, and only there', async () => {
    scene.portal.interfere = ({ path, count }) => {
      if (path.endsWith('/parts/2') && count <= 2) throw new Problem('digest-mismatching-value', { partNumber: 2 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.count(/parts/)).toBe(5 + 2)
    expect(scene.events.filter((event) => event.type === 'repeating')).toMatchObject([
      { wanted: [[2, 2]], problem: { code: 'digest-mismatching-value' } },
      { wanted: [[2, 2]], problem: { code: 'digest-mismatching-value' } },
    ])
  })

  test('is abandoned when a part always arrives damaged', async () => {
    scene.portal.interfere = ({ path }) => {
      if (path.endsWith('/parts/2')) throw new Problem('part-incomplete', { partNumber: 2 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'no-answer', reason: expect.stringContaining('part 2') }])
    expect(await journalled()).toBe(1)
  })

  test('that the portal lost before the end is sent again in a second attempt, and nothing else', async () => {
    scene.portal.interfere = ({ path, count }) => {
      if (path.endsWith('/complete') && count === 1) scene.portal.only().parts.delete(3)
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['resend', 'stored', 'delivered'])
    expect(scene.events.filter((event) => event.type === 'repeating')).toMatchObject([{ wanted: [[3, 3]] }])
    expect(scene.portal.count(/parts/)).toBe(5 + 1)
    expect(scene.portal.content(scene.portal.only()).equals(content)).toBe(true)
  })

  test('of a file that changes meanwhile is cancelled and refused', async () => {
    scene.portal.interfere = async ({ path }) => {
      if (path.endsWith('/parts/5')) await appendFile(scene.folder.join('file'), 'more')
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'source-changed' } }])
    expect(scene.portal.only().state).toBe('cancelled')
    expect(scene.portal.count(/complete/)).toBe(0)
    expect(await journalled()).toBe(0)
  })

  test('ends when the portal fails, with the problem that the portal recorded', async () => {
    scene.portal.interfere = ({ path }) => {
      if (!path.endsWith('/parts/3')) return
      if (scene.portal.only().state === 'receiving') {
        scene.portal.only().state = 'refused'
        scene.portal.notify(scene.portal.only().transferId, {
          notification: 'refused',
          problem: new Problem('store-failed').toJSON(),
        })
      }
      throw new Problem('store-failed')
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'store-failed' } }])
    expect(told()).toEqual(['refused'])
  })
})

describe('a lost answer', () => {
  test('to any first request creates no second transfer and no second notification', async () => {
    scene.portal.interfere = ({ path, count, raw }) => {
      if (count === 1 && path !== '/v1/events') raw.destroy()
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.only().state).toBe('stored')
    expect(told()).toEqual(['stored', 'delivered'])
  })

  test('to complete is requested again, and is the first notification', async () => {
    scene.portal.receive = null
    scene.portal.interfere = ({ path, count, raw }) => {
      if (!path.endsWith('/complete') || count > 1) return
      const { transferId } = scene.portal.only()
      scene.portal.only().state = 'stored'
      scene.portal.notify(transferId, { notification: 'stored' })
      raw.destroy()
    }
    expect(await sending({ isWaiting: false })).toMatchObject([{ outcome: 'stored' }])
    expect(scene.portal.count(/complete/)).toBe(2)
    expect(told()).toEqual(['stored'])
  })
})

describe('a portal that does not answer', () => {
  test('from the start receives nothing, which is reported for every file', async () => {
    await writeFile(scene.folder.join('other'), 'x')
    scene.portal.interfere = ({ raw }) => raw.destroy()
    const outcomes = await sending({
      paths: [scene.folder.join('file'), scene.folder.join('other')],
      answerTimeoutMs: 300,
    })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['no-answer', 'no-answer'])
    expect(scene.events.every((event) => event.type === 'silence' && event.transferId === null)).toBe(true)
    expect(scene.portal.transfers.size).toBe(0)
  })

  test('during a send ends the transfer, keeps the journal, and files not yet started are not tried', async () => {
    await writeFile(scene.folder.join('other'), 'x')
    let isGone = false
    scene.portal.interfere = ({ path, raw }) => {
      isGone ||= path.endsWith('/parts/3')
      if (isGone) raw.destroy()
    }
    const options = {
      paths: [scene.folder.join('file'), scene.folder.join('other')],
      transfersAtOnce: 1,
      partsInFlight: 1,
      answerTimeoutMs: 300,
    }
    const outcomes = await sending(options)
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['no-answer', 'no-answer'])
    expect(scene.portal.transfers.size).toBe(1)
    expect(await journalled()).toBe(1)

    scene.portal.interfere = () => {}
    scene.portal.requests.length = 0
    expect((await sending(options)).map(({ outcome }) => outcome)).toEqual(['delivered', 'delivered'])
    expect(scene.portal.transfers.size).toBe(2)
    expect(scene.portal.count(/parts\/[12]$/)).toBe(1)
  })

  test('but accepts bytes without end is not waited for either', async () => {
    scene.portal.interfere = ({ path }) => (path.endsWith('/parts/3') ? new Promise(() => {}) : undefined)
    expect(await sending({ answerTimeoutMs: 900 })).toMatchObject([{ outcome: 'no-answer' }])
    expect(scene.portal.count(/parts\/3$/)).toBeGreaterThan(1)
  })

  test('after it stored the file does not end the wait', async () => {
    scene.portal.receive = null
    const answerTimeoutMs = 1_500
    const waiting = sending({ answerTimeoutMs })
    await expect.poll(told).toEqual(['stored'])
    let refusedStreams = 0
    let isSilent = true
    scene.portal.interfere = ({ path, raw }) => {
      if (path !== '/v1/events' || !isSilent) return
      refusedStreams++
      raw.destroy()
    }
    scene.portal.cutStreams()
    const silentAtMs = performance.now()
    await expect.poll(() => refusedStreams >= 3 && performance.now() - silentAtMs > answerTimeoutMs).toBe(true)
    isSilent = false
    await expect.poll(() => scene.portal.count(/events/)).toBeGreaterThan(refusedStreams + 1)
    scene.portal.notify(scene.portal.only().transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await waiting).toMatchObject([{ outcome: 'delivered' }])
  })

  test('does not extend the maximum wait', async () => {
    scene.portal.receive = null
    expect(await sending({ waitMs: 50 })).toMatchObject([{ outcome: 'undelivered', waitingFor: ['bob'] }])
    expect(await journalled()).toBe(1)
  })
})

describe('the same command again', () => {
  test('continues the transfer, and sends only what the portal lacks', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = scene.portal.only()
    scene.portal.requests.length = 0
    expect(await sending()).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(scene.portal.count(/parts/)).toBe(2)
    expect(scene.events.find((event) => event.type === 'started')).toMatchObject({ isResumed: true, transferId })
    expect(await journalled()).toBe(0)
  })

  test('reports what happened to a stored transfer meanwhile, and sends nothing', async () => {
    scene.portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = scene.portal.only()
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    scene.portal.only().state = 'ended'
    scene.portal.requests.length = 0
    scene.events.length = 0
    expect(await sending()).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(told()).toEqual(['stored', 'delivered'])
    expect(scene.portal.count(/parts|complete/)).toBe(0)
  })

  test('starts the next attempt when the portal aborted the last one', async () => {
    await interrupted(/parts\/4$/)
    scene.portal.timeOut(scene.portal.only().transferId)
    scene.portal.requests.length = 0
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['resend', 'stored', 'delivered'])
    expect(scene.portal.count(/parts/)).toBe(5)
    expect(scene.portal.only().attempt).toBe(2)
  })

  test('creates a new transfer when the old one was cancelled', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = scene.portal.only()
    await scene.portal.client.cancel(transferId)
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(scene.events.flatMap((event) => (event.type === 'started' ? [event.isResumed] : []))).toEqual([true, false])
    expect(told()).toEqual(['stored', 'delivered'])
  })

  test('creates a new transfer when the portal holds other content of a file that looks the same', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = scene.portal.only()
    scene.portal.interfere = ({ method, path }) => {
      if (method === 'PUT' && path.includes(`${transferId}/parts`)) throw new Problem('part-conflict')
    }
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(scene.portal.transfers.get(transferId)?.state).toBe('cancelled')
  })

  test('learns what happened while the event stream was away', async () => {
    scene.portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = scene.portal.only()
    const looks = scene.portal.count(/^GET \/v1\/transfers/)
    const waiting = sending()
    await expect.poll(() => scene.portal.count(/^GET \/v1\/transfers/)).toBe(looks + 1)
    scene.portal.cutStreams()
    // No stream is open now, and the sender knows no event id to continue from.
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await waiting).toMatchObject([{ outcome: 'delivered' }])
  })

  test('continues after an interruption of the wait', async () => {
    scene.portal.receive = null
    const stop = new AbortController()
    const waiting = sending({ signal: stop.signal })
    await expect.poll(told).toEqual(['stored'])
    stop.abort(new Error('interrupted'))
    await expect(waiting).rejects.toThrow('interrupted')
    expect(await journalled()).toBe(1)
  })

  test('for a file that has changed cancels the old transfer and creates a new one', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = scene.portal.only()
    await appendFile(scene.folder.join('file'), 'more')
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(scene.portal.transfers.get(transferId)?.state).toBe('cancelled')
  })

  test('asks for the state of the transfer at intervals while it only reads what the portal holds', async () => {
    scene.portal.limits = { ...scene.portal.limits, uploadTimeoutMs: 3 }
    await writeFile(scene.folder.join('file'), randomBytes(64 * 1024 * 1024))
    const options = { partSizeBytes: 1024 * 1024, answerTimeoutMs: 90_000 }
    await interrupted(/complete$/, options)
    scene.portal.requests.length = 0
    expect(await sending(options)).toMatchObject([{ outcome: 'delivered' }])
    const before = scene.portal.requests.slice(
      0,
      scene.portal.requests.findIndex((request) => request.endsWith('/complete')),
    )
    expect(before.filter((request) => request.startsWith('GET /v1/transfers/')).length).toBeGreaterThan(2)
    expect(scene.portal.count(/parts/)).toBe(0)
  })

  test('for a file that has changed does not cancel a transfer that is stored at that very moment', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = scene.portal.only()
    await appendFile(scene.folder.join('file'), 'more')
    scene.portal.interfere = ({ method }) => {
      const old = scene.portal.transfers.get(transferId)
      if (method === 'DELETE' && old !== undefined) old.state = 'stored'
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(scene.portal.count(/DELETE/)).toBe(1)
    expect(scene.portal.transfers.get(transferId)?.state).toBe('stored')
  })

  test('for a file that has changed is not forgotten when the run before it ends', async () => {
    scene.portal.receive = null
    const first = sending()
    await expect.poll(told).toEqual(['stored'])
    const { transferId } = scene.portal.only()
    await appendFile(scene.folder.join('file'), 'more')
    const second = sending()
    await expect.poll(told).toEqual(['stored', 'stored'])
    scene.portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await first).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(await journalled()).toBe(1)

    const [, newer = ''] = scene.portal.transfers.keys()
    scene.portal.notify(newer, { notification: 'delivered', receiver: 'bob' })
    expect(await second).toMatchObject([{ outcome: 'delivered', transferId: newer }])
    expect(await journalled()).toBe(0)
  })

  test('at the same moment is the same transfer', async () => {
    scene.portal.receive = null
    const runs = Array.from({ length: 4 }, () => sending())
    await expect.poll(told).toEqual(['stored', 'stored', 'stored', 'stored'])
    scene.portal.notify(scene.portal.only().transferId, { notification: 'delivered', receiver: 'bob' })
    const outcomes = (await Promise.all(runs)).flat()
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 4 }, () => 'delivered'))
    expect(new Set(outcomes.map((outcome) => outcome.transferId))).toEqual(new Set([scene.portal.only().transferId]))
    expect(await journalled()).toBe(0)
  })

  test('for a file that has changed does not cancel what was stored', async () => {
    scene.portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = scene.portal.only()
    await appendFile(scene.folder.join('file'), 'more')
    await sending({ waitMs: 50 })
    expect(scene.portal.transfers.get(transferId)?.state).toBe('stored')
    expect(scene.portal.transfers.size).toBe(2)
  })
})

describe('a refusal', () => {
  test('of the announcement is reported once, as the portal recorded it', async () => {
    scene.portal.interfere = ({ method, path }) => {
      if (method !== 'PUT') return
      const at = new Date().toISOString()
      const transferId = path.split('/').at(-1)
      throw new Problem('storage-full', { neededBytes: 9, transferId, eventId: '7', at, attempt: 1 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'storage-full' } }])
    const notifications = scene.events.flatMap((event) => (event.type === 'notification' ? [event.notification] : []))
    expect(notifications).toMatchObject([
      { notification: 'refused', eventId: '7', attempt: 1, problem: { code: 'storage-full', neededBytes: 9 } },
    ])
    expect(notifications[0]).not.toHaveProperty('problem.eventId')
    expect(await journalled()).toBe(0)
  })

  test('that the portal did not record has no event id', async () => {
    scene.portal.interfere = ({ method }) => {
      if (method === 'PUT') throw new Problem('receiver-unknown', { receivers: ['bob'] })
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'receiver-unknown' } }])
    const [notification] = scene.events.flatMap((event) => (event.type === 'notification' ? [event.notification] : []))
    expect(notification).toMatchObject({ notification: 'refused' })
    expect(notification).not.toHaveProperty('eventId')
  })

  test('of the account is thrown, and stops every file', async () => {
    await writeFile(scene.folder.join('other'), 'x')
    scene.portal.interfere = ({ path }) => {
      if (path.includes('/parts/')) throw new Problem('credentials-invalid')
    }
    const paths = [scene.folder.join('file'), scene.folder.join('other')]
    await expect(sending({ paths })).rejects.toMatchObject({ code: 'credentials-invalid' })
    expect(await journalled()).toBe(2)
  })
})

test('nothing is sent when one of the paths is not a file', async () => {
  await expect(sending({ paths: [scene.folder.join('file'), '/dev/null'] })).rejects.toMatchObject({
    code: 'source-not-a-file',
  })
  expect(scene.portal.requests).toEqual([])
})
