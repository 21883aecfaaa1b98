import { randomBytes } from 'node:crypto'
import { appendFile, readdir, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Announcement, Problem } from '../../src/protocol/index.ts'
import type { SendEvent, SendOutcome } from '../../src/sender/index.ts'
import type { SendOptions } from '../../src/sender/node.ts'
import { TestFolder } from './folder.ts'
import { ScriptedPortal } from './scripted-portal.ts'
import { sendFile } from './sending.ts'

const PART_BYTES = 1000
const content = randomBytes(4 * PART_BYTES + 321)

let folder: TestFolder
let portal: ScriptedPortal
let events: SendEvent[]

beforeEach(async () => {
  folder = await TestFolder.make()
  portal = await ScriptedPortal.start()
  events = []
  await writeFile(folder.join('file'), content)
})

afterEach(async () => {
  await portal[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

function sending(options: Partial<SendOptions> = {}): Promise<SendOutcome[]> {
  const onEvent = (event: SendEvent): number => events.push(event)
  return sendFile(portal, folder, { partSizeBytes: PART_BYTES, onEvent, ...options })
}

function nameOf({ metadata }: Announcement): string {
  return 'name' in metadata ? metadata.name : ''
}

function told(): string[] {
  return events.flatMap((event) => (event.type === 'notification' ? [event.notification.notification] : []))
}

async function journalled(): Promise<number> {
  return (await readdir(folder.join('state', 'journal'))).length
}

/** Sends until `when` a request comes, and is interrupted there. */
async function interrupted(when: RegExp, options: Partial<SendOptions> = {}): Promise<void> {
  const stop = new AbortController()
  const reason = new Error('interrupted')
  portal.interfere = ({ method, path, raw }) => {
    if (!when.test(`${method} ${path}`)) return
    stop.abort(reason)
    raw.destroy()
  }
  await expect(sending({ partsInFlight: 1, ...options, signal: stop.signal })).rejects.toBe(reason)
  portal.interfere = () => {}
  events = []
}

describe('a file', () => {
  test('is stored and delivered, told in this order, and the journal is empty then', async () => {
    expect(await sending()).toMatchObject([{ outcome: 'delivered', path: folder.join('file') }])
    const held = portal.only()
    expect(portal.content(held).equals(content)).toBe(true)
    expect(held.announcement).toMatchObject({ to: ['bob'], metadata: { name: 'file' }, sizeBytes: content.length })
    expect(told()).toEqual(['stored', 'delivered'])
    expect(await journalled()).toBe(0)
    expect(events.findLast((event) => event.type === 'uploading')).toMatchObject({
      hashedBytes: content.length,
      sentBytes: content.length,
      acknowledgedBytes: content.length,
    })
  })

  test('that is empty has no part and is delivered', async () => {
    await writeFile(folder.join('empty'), '')
    expect(await sending({ paths: [folder.join('empty')] })).toMatchObject([{ outcome: 'delivered' }])
    expect(portal.count(/parts/)).toBe(0)
  })

  test('that one of two receivers does not take has failed, with the problem of that receiver', async () => {
    const problem = { ...new Problem('disk-full', { freeBytes: 7 }).toJSON() }
    portal.receive = (_, receiver) =>
      receiver === 'eve' ? { notification: 'failed', receiver, problem } : { notification: 'delivered', receiver }
    const [outcome] = await sending({ to: ['eve', 'bob'] })
    expect(outcome).toMatchObject({ outcome: 'failed', failures: [{ receiver: 'eve', problem }] })
    expect(await journalled()).toBe(0)
  })

  test('is not waited for after the first notification when nobody asked to wait', async () => {
    portal.receive = null
    expect(await sending({ isWaiting: false })).toMatchObject([{ outcome: 'stored' }])
    expect(await journalled()).toBe(0)
  })

  test('does not stop the others when it is refused', async () => {
    await writeFile(folder.join('large'), randomBytes(10))
    portal.interfere = ({ method }) => {
      const large = [...portal.transfers.values()].find(({ announcement }) => nameOf(announcement) === 'large')
      if (method === 'PUT' && large?.state === 'receiving') large.state = 'refused'
    }
    const outcomes = await sending({ paths: [folder.join('large'), folder.join('file')], transfersAtOnce: 1 })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['refused', 'delivered'])
  })
})

describe('the content', () => {
  test('goes again where a part arrived damaged, and only there', async () => {
    portal.interfere = ({ path, count }) => {
      if (path.endsWith('/parts/2') && count <= 2) throw new Problem('digest-mismatching-value', { partNumber: 2 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(portal.count(/parts/)).toBe(5 + 2)
    expect(events.filter((event) => event.type === 'repeating')).toMatchObject([
      { wanted: [[2, 2]], problem: { code: 'digest-mismatching-value' } },
      { wanted: [[2, 2]], problem: { code: 'digest-mismatching-value' } },
    ])
  })

  test('is given up when a part never arrives whole', async () => {
    portal.interfere = ({ path }) => {
      if (path.endsWith('/parts/2')) throw new Problem('part-incomplete', { partNumber: 2 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'no-answer', reason: expect.stringContaining('part 2') }])
    expect(await journalled()).toBe(1)
  })

  test('that the portal lost before the end is sent again in a second attempt, and nothing else', async () => {
    portal.interfere = ({ path, count }) => {
      if (path.endsWith('/complete') && count === 1) portal.only().parts.delete(3)
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['resend', 'stored', 'delivered'])
    expect(events.filter((event) => event.type === 'repeating')).toMatchObject([{ wanted: [[3, 3]] }])
    expect(portal.count(/parts/)).toBe(5 + 1)
    expect(portal.content(portal.only()).equals(content)).toBe(true)
  })

  test('of a file that is written to meanwhile is cancelled and refused', async () => {
    portal.interfere = async ({ path }) => {
      if (path.endsWith('/parts/5')) await appendFile(folder.join('file'), 'more')
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'source-changed' } }])
    expect(portal.only().state).toBe('cancelled')
    expect(portal.count(/complete/)).toBe(0)
    expect(await journalled()).toBe(0)
  })

  test('ends when the portal breaks, with what the portal recorded', async () => {
    portal.interfere = ({ path }) => {
      if (!path.endsWith('/parts/3')) return
      if (portal.only().state === 'receiving') {
        portal.only().state = 'refused'
        portal.notify(portal.only().transferId, {
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

describe('an answer that is lost', () => {
  test('to any first request makes no second transfer and no second notification', async () => {
    portal.interfere = ({ path, count, raw }) => {
      if (count === 1 && path !== '/v1/events') raw.destroy()
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(portal.only().state).toBe('stored')
    expect(told()).toEqual(['stored', 'delivered'])
  })

  test('to complete is found in the log', async () => {
    portal.receive = null
    portal.interfere = ({ path, raw }) => {
      if (!path.endsWith('/complete')) return
      const { transferId } = portal.only()
      portal.only().state = 'stored'
      portal.notify(transferId, { notification: 'stored' })
      raw.destroy()
    }
    expect(await sending({ isWaiting: false })).toMatchObject([{ outcome: 'stored' }])
    expect(portal.count(/complete/)).toBe(1)
    expect(told()).toEqual(['stored'])
  })
})

describe('a portal that is silent', () => {
  test('from the beginning gets nothing, and that is said of every file', async () => {
    await writeFile(folder.join('other'), 'x')
    portal.interfere = ({ raw }) => raw.destroy()
    const outcomes = await sending({ paths: [folder.join('file'), folder.join('other')], answerTimeoutMs: 300 })
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['no-answer', 'no-answer'])
    expect(events.every((event) => event.type === 'silence' && event.transferId === null)).toBe(true)
    expect(portal.transfers.size).toBe(0)
  })

  test('in the middle ends the transfer, keeps the journal, and what was not begun is not tried', async () => {
    await writeFile(folder.join('other'), 'x')
    portal.interfere = ({ path, raw }) => {
      if (path.endsWith('/parts/3')) raw.destroy()
    }
    const options = { paths: [folder.join('file'), folder.join('other')], transfersAtOnce: 1, answerTimeoutMs: 300 }
    const outcomes = await sending(options)
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(['no-answer', 'no-answer'])
    expect(portal.transfers.size).toBe(1)
    expect(await journalled()).toBe(1)

    portal.interfere = () => {}
    portal.requests.length = 0
    expect((await sending(options)).map(({ outcome }) => outcome)).toEqual(['delivered', 'delivered'])
    expect(portal.transfers.size).toBe(2)
    expect(portal.count(/parts\/[12]$/)).toBe(1)
  })

  test('but takes bytes for ever is not waited for either', async () => {
    portal.interfere = ({ path }) => (path.endsWith('/parts/3') ? new Promise(() => {}) : undefined)
    expect(await sending({ answerTimeoutMs: 900 })).toMatchObject([{ outcome: 'no-answer' }])
    expect(portal.count(/parts\/3$/)).toBeGreaterThan(1)
  })

  test('after it stored the file does not end the wait', async () => {
    portal.receive = null
    const waiting = sending({ answerTimeoutMs: 300 })
    await expect.poll(told).toEqual(['stored'])
    let refusedStreams = 0
    portal.interfere = ({ path, raw }) => {
      if (path !== '/v1/events' || refusedStreams >= 3) return
      refusedStreams++
      raw.destroy()
    }
    portal.cutStreams()
    await expect.poll(() => refusedStreams).toBe(3)
    await expect.poll(() => portal.count(/events/)).toBe(5)
    portal.notify(portal.only().transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await waiting).toMatchObject([{ outcome: 'delivered' }])
  })

  test('does not outlast the time to wait', async () => {
    portal.receive = null
    expect(await sending({ waitMs: 50 })).toMatchObject([{ outcome: 'undelivered', waitingFor: ['bob'] }])
    expect(await journalled()).toBe(1)
  })
})

describe('the same command again', () => {
  test('goes on with the transfer, and sends only what the portal lacks', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = portal.only()
    portal.requests.length = 0
    expect(await sending()).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(portal.count(/parts/)).toBe(2)
    expect(events.find((event) => event.type === 'started')).toMatchObject({ isResumed: true, transferId })
    expect(await journalled()).toBe(0)
  })

  test('tells what happened to a stored transfer meanwhile, and sends nothing', async () => {
    portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = portal.only()
    portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    portal.only().state = 'ended'
    portal.requests.length = 0
    events = []
    expect(await sending()).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(told()).toEqual(['stored', 'delivered'])
    expect(portal.count(/parts|complete/)).toBe(0)
  })

  test('starts the next attempt when the portal gave the last one up', async () => {
    await interrupted(/parts\/4$/)
    portal.timeOut(portal.only().transferId)
    portal.requests.length = 0
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(told()).toEqual(['resend', 'stored', 'delivered'])
    expect(portal.count(/parts/)).toBe(5)
    expect(portal.only().attempt).toBe(2)
  })

  test('makes a new transfer when the old one was cancelled', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = portal.only()
    await portal.client.cancel(transferId)
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(events.flatMap((event) => (event.type === 'started' ? [event.isResumed] : []))).toEqual([true, false])
    expect(told()).toEqual(['stored', 'delivered'])
  })

  test('makes a new transfer when the portal holds other content of a file that looks the same', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = portal.only()
    portal.interfere = ({ method, path }) => {
      if (method === 'PUT' && path.includes(`${transferId}/parts`)) throw new Problem('part-conflict')
    }
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(portal.transfers.get(transferId)?.state).toBe('cancelled')
  })

  test('is told what happened while the event stream was away', async () => {
    portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = portal.only()
    const looks = portal.count(/^GET \/v1\/transfers/)
    const waiting = sending()
    await expect.poll(() => portal.count(/^GET \/v1\/transfers/)).toBe(looks + 1)
    portal.cutStreams()
    // No stream is up now, and the sender has no event to go on from.
    portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await waiting).toMatchObject([{ outcome: 'delivered' }])
  })

  test('goes on after an interruption of the wait', async () => {
    portal.receive = null
    const stop = new AbortController()
    const waiting = sending({ signal: stop.signal })
    await expect.poll(told).toEqual(['stored'])
    stop.abort(new Error('interrupted'))
    await expect(waiting).rejects.toThrow('interrupted')
    expect(await journalled()).toBe(1)
  })

  test('for a file that has changed cancels the old transfer and makes a new one', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = portal.only()
    await appendFile(folder.join('file'), 'more')
    const [outcome] = await sending()
    expect(outcome).toMatchObject({ outcome: 'delivered' })
    expect(outcome?.transferId).not.toBe(transferId)
    expect(portal.transfers.get(transferId)?.state).toBe('cancelled')
  })

  test('asks now and then how the transfer stands while it only reads what the portal holds', async () => {
    portal.limits = { ...portal.limits, uploadTimeoutMs: 3 }
    await writeFile(folder.join('file'), randomBytes(40 * 1024 * 1024))
    const options = { partSizeBytes: 1024 * 1024 }
    await interrupted(/complete$/, options)
    portal.requests.length = 0
    expect(await sending(options)).toMatchObject([{ outcome: 'delivered' }])
    const before = portal.requests.slice(
      0,
      portal.requests.findIndex((request) => request.endsWith('/complete')),
    )
    expect(before.filter((request) => request.startsWith('GET /v1/transfers/')).length).toBeGreaterThan(2)
    expect(portal.count(/parts/)).toBe(0)
  })

  test('for a file that has changed does not take back what is stored at that very moment', async () => {
    await interrupted(/parts\/4$/)
    const { transferId } = portal.only()
    await appendFile(folder.join('file'), 'more')
    portal.interfere = ({ method }) => {
      const old = portal.transfers.get(transferId)
      if (method === 'DELETE' && old !== undefined) old.state = 'stored'
    }
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(portal.count(/DELETE/)).toBe(1)
    expect(portal.transfers.get(transferId)?.state).toBe('stored')
  })

  test('for a file that has changed is not forgotten when the run before it ends', async () => {
    portal.receive = null
    const first = sending()
    await expect.poll(told).toEqual(['stored'])
    const { transferId } = portal.only()
    await appendFile(folder.join('file'), 'more')
    const second = sending()
    await expect.poll(told).toEqual(['stored', 'stored'])
    portal.notify(transferId, { notification: 'delivered', receiver: 'bob' })
    expect(await first).toMatchObject([{ outcome: 'delivered', transferId }])
    expect(await journalled()).toBe(1)

    const [, newer = ''] = portal.transfers.keys()
    portal.notify(newer, { notification: 'delivered', receiver: 'bob' })
    expect(await second).toMatchObject([{ outcome: 'delivered', transferId: newer }])
    expect(await journalled()).toBe(0)
  })

  test('at the same moment is the same transfer', async () => {
    portal.receive = null
    const runs = Array.from({ length: 4 }, () => sending())
    await expect.poll(told).toEqual(['stored', 'stored', 'stored', 'stored'])
    portal.notify(portal.only().transferId, { notification: 'delivered', receiver: 'bob' })
    const outcomes = (await Promise.all(runs)).flat()
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 4 }, () => 'delivered'))
    expect(new Set(outcomes.map((outcome) => outcome.transferId))).toEqual(new Set([portal.only().transferId]))
    expect(await journalled()).toBe(0)
  })

  test('for a file that has changed does not take back what was stored', async () => {
    portal.receive = null
    await sending({ waitMs: 50 })
    const { transferId } = portal.only()
    await appendFile(folder.join('file'), 'more')
    await sending({ waitMs: 50 })
    expect(portal.transfers.get(transferId)?.state).toBe('stored')
    expect(portal.transfers.size).toBe(2)
  })
})

describe('a refusal', () => {
  test('of the announcement is told once, as the portal recorded it', async () => {
    portal.interfere = ({ method, path }) => {
      if (method !== 'PUT') return
      const at = new Date().toISOString()
      const transferId = path.split('/').at(-1)
      throw new Problem('storage-full', { neededBytes: 9, transferId, eventId: '7', at, attempt: 1 })
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'storage-full' } }])
    const notifications = events.flatMap((event) => (event.type === 'notification' ? [event.notification] : []))
    expect(notifications).toMatchObject([
      { notification: 'refused', eventId: '7', attempt: 1, problem: { code: 'storage-full', neededBytes: 9 } },
    ])
    expect(notifications[0]).not.toHaveProperty('problem.eventId')
    expect(await journalled()).toBe(0)
  })

  test('that the portal did not record has no event id', async () => {
    portal.interfere = ({ method }) => {
      if (method === 'PUT') throw new Problem('receiver-unknown', { receivers: ['bob'] })
    }
    expect(await sending()).toMatchObject([{ outcome: 'refused', problem: { code: 'receiver-unknown' } }])
    const [notification] = events.flatMap((event) => (event.type === 'notification' ? [event.notification] : []))
    expect(notification).toMatchObject({ notification: 'refused' })
    expect(notification).not.toHaveProperty('eventId')
  })

  test('of the account is thrown, and stops every file', async () => {
    await writeFile(folder.join('other'), 'x')
    portal.interfere = ({ path }) => {
      if (path.includes('/parts/')) throw new Problem('credentials-invalid')
    }
    const paths = [folder.join('file'), folder.join('other')]
    await expect(sending({ paths })).rejects.toMatchObject({ code: 'credentials-invalid' })
    expect(await journalled()).toBe(2)
  })
})

test('nothing is sent when one of the paths is not a file', async () => {
  await expect(sending({ paths: [folder.join('file'), folder.path] })).rejects.toMatchObject({
    code: 'source-not-a-file',
  })
  expect(portal.requests).toEqual([])
})
