/** A person decides about an offer before any of its content is transferred. */
import { expect, onTestFinished, test } from 'vitest'
import type { Offer } from '../../src/protocol/index.ts'
import { type Decide, type ReceiveEvent, receiveInto } from '../../src/receiver/index.ts'
import { openInbox } from '../../src/receiver/node-inbox.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent, unfinished, visible } from './folders.ts'
import { eventually } from './running.ts'
import { ScriptedPortal } from './scripted-portal.ts'

const PART_BYTES = 64 * 1024

async function asking(decide: Decide, changes: Partial<Offer> = {}) {
  const portal = await ScriptedPortal.start()
  const folder = await testFolder()
  const inbox = await openInbox(folder, { mayCreate: true })
  const events: ReceiveEvent[] = []
  const stopping = new AbortController()
  const result = receiveInto(inbox, {
    client: portal.client(),
    trust: null,
    from: null,
    isOnce: false,
    decide,
    signal: stopping.signal,
    onEvent: (event) => events.push(event),
  })
  const stop = async () => {
    stopping.abort()
    return result
  }
  onTestFinished(async () => {
    await stop()
    await inbox[Symbol.asyncDispose]()
  })
  const content = newContent(8 * PART_BYTES, PART_BYTES)
  const transferId = portal.send(content, changes)
  const seen = (type: ReceiveEvent['type']) => eventually(() => expect(events.map((one) => one.type)).toContain(type))
  return { portal, folder, events, stop, seen, transferId, content }
}

test('a reason is cut at the maximum length', async () => {
  const { portal, seen, folder } = await asking(async () => ({ refuse: ` ${'ä'.repeat(2_000)} ` }))
  await seen('refused')
  expect(portal.dispositions).toMatchObject([
    { disposition: 'refused', problem: { code: 'declined', detail: 'ä'.repeat(500) } },
  ])
  expect(portal.asked).toEqual([])
  expect(await visible(folder)).toEqual([])
  expect(await unfinished(folder)).toEqual([])
})

test('without a reason none is sent', async () => {
  const { portal, seen } = await asking(async () => ({ refuse: '' }))
  await seen('refused')
  expect(portal.dispositions).toMatchObject([{ problem: { code: 'declined' } }])
  expect(portal.dispositions[0]).not.toHaveProperty('problem.detail')
})

test('no content is fetched before the answer, and all of it afterwards', async () => {
  const answer = Promise.withResolvers<'accept'>()
  const { portal, seen, folder } = await asking(() => answer.promise)
  await seen('asking')
  expect(await unfinished(folder)).toEqual([])
  expect(portal.asked).toEqual([])
  answer.resolve('accept')
  await seen('received')
  expect(await visible(folder)).toHaveLength(1)
})

test('a delivery that the portal ends without a message is found to have ended while a person is still asked', async () => {
  const voided = Promise.withResolvers<void>()
  const { portal, seen, transferId } = await asking((_offer, signal) => {
    signal.addEventListener('abort', () => voided.resolve())
    return new Promise(() => {})
  })
  await seen('asking')
  portal.forget(transferId)
  await seen('withdrawn')
  await voided.promise
})

test('a receiver that stops while a person is asked decides nothing, and gives the lease back', async () => {
  const { portal, seen, stop } = await asking(() => new Promise(() => {}))
  await seen('asking')
  expect(await stop()).toEqual({ received: 0, refused: 0 })
  expect(portal.dispositions).toMatchObject([{ disposition: 'released' }])
})

test('a person who is asked during the upload is notified when the file is stored', async () => {
  const answer = () => new Promise<never>(() => {})
  const { portal, events, seen, transferId, content } = await asking(answer, {
    state: 'receiving',
    manifestDigest: null,
  })
  await seen('asking')
  expect(events).toMatchObject([{ type: 'connected' }, { type: 'asking', isStored: false }])
  portal.change(transferId, { state: 'stored', manifestDigest: content.manifestDigest })
  await eventually(() => expect(events.at(-1)).toMatchObject({ type: 'asking', isStored: true }))
  expect(portal.asked).toEqual([])
})
