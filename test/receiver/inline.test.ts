/** A small file that comes with its offer: the receiver makes only one request, its answer. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { newLeaseId } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent, visible } from './folders.ts'
import { receiveOnce, running } from './running.ts'
import { ScriptedPortal } from './scripted-portal.ts'

const SMALL = () => newContent(1_000, 70_000)
const MINUTE_MS = 60_000
/** A lease that began with the stream. */
const FRESH = { leaseMs: MINUTE_MS, streamMs: 0 }

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

describe('a small file that comes with its offer', () => {
  test('is delivered without any request for content', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = SMALL()
    portal.send(content, { ...FRESH, content: base64(content.bytes) })
    expect((await receiveOnce(portal, folder)).counts).toEqual({ received: 1, refused: 0 })
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    expect(portal.asked).toEqual([])
    expect(portal.held, 'how the offer stands').toEqual([])
    expect(portal.dispositions).toMatchObject([{ disposition: 'received', manifestDigest: content.manifestDigest }])
  })

  test('that is damaged is deleted and requested again', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = SMALL()
    const damaged = Buffer.from(content.bytes).fill(0, 10, 20)
    portal.send(content, { ...FRESH, content: base64(damaged) })
    const { counts, events } = await receiveOnce(portal, folder)
    expect(counts).toEqual({ received: 1, refused: 0 })
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
    expect(portal.dispositions.map(({ disposition }) => disposition)).toEqual(['resend', 'received'])
    expect(portal.asked).toEqual([1])
    expect(events.map(({ type }) => type)).toContain('repeating')
  })

  test('that has another length is fetched instead', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = SMALL()
    portal.send(content, { ...FRESH, content: base64(content.bytes.subarray(1)) })
    expect((await receiveOnce(portal, folder)).counts).toEqual({ received: 1, refused: 0 })
    expect(portal.asked).toEqual([1])
    expect((await readFile(join(folder, 'file.bin'))).equals(content.bytes)).toBe(true)
  })
})

describe('an offer that was delayed in a buffer', () => {
  test.each([
    ['that does not say how old it is', { leaseMs: MINUTE_MS }],
    // The lease began with the stream and is over when the offer comes.
    ['that is older than half of its lease', { leaseMs: 1, streamMs: 0 }],
  ])('one %s is asked about before its file appears', async (_what, lease) => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = SMALL()
    const receiver = running(portal, folder)
    await receiver.seen('connected')
    // The shortest lease that clients assume.
    const leaseEndsAtMs = performance.now() + 30
    await vi.waitFor(() => expect(performance.now()).toBeGreaterThan(leaseEndsAtMs), { timeout: 90_000, interval: 5 })
    portal.send(content, { ...lease, content: base64(content.bytes) })
    await receiver.seen('received')
    await vi.waitFor(() => expect(portal.dispositions).toHaveLength(1), { timeout: 90_000, interval: 5 })
    expect(portal.held.length, 'questions how the offer stands').toBeGreaterThan(0)
    expect(portal.dispositions).toMatchObject([{ disposition: 'received' }])
  })

  test('and whose lease is lost is published only after the file is offered again', async () => {
    const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
    const content = SMALL()
    const receiver = running(portal, folder)
    await receiver.seen('connected')
    const transferId = portal.send(content, { leaseMs: MINUTE_MS, content: base64(content.bytes) })
    portal.change(transferId, { leaseId: newLeaseId() })
    await receiver.seen('fetching')
    await vi.waitFor(() => expect(portal.lost).toBeGreaterThan(0), { timeout: 90_000 })
    expect(await visible(folder)).toEqual([])
    portal.offerAgain(transferId)
    await receiver.seen('received')
    expect(await visible(folder)).toEqual(['file.bin'])
  })
})
