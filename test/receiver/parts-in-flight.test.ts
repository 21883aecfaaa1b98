/** The number of parts that a receiver fetches at a time from a portal with a high latency. */
import { setTimeout as passed } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type ReceiveFolderOptions, receive } from '../../src/receiver/node-receive.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent } from './folders.ts'
import { type PartScript, ScriptedPortal } from './scripted-portal.ts'

const PART_BYTES = 64 * 1024
const PARTS = 40
const PART_MS = 350

/** Receives a file. @returns the maximum of concurrent requests for parts */
async function mostInFlight(isStored: boolean, options: Partial<ReceiveFolderOptions> = {}): Promise<number> {
  const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
  const content = newContent(PARTS * PART_BYTES, PART_BYTES)
  let inFlight = 0
  let most = 0
  portal.onPart = async (partNumber): Promise<PartScript> => {
    most = Math.max(most, ++inFlight)
    await passed(PART_MS)
    inFlight--
    if (partNumber === PARTS) portal.change(transferId, { state: 'stored', manifestDigest: content.manifestDigest })
    return 'serve'
  }
  const transferId = portal.send(content, isStored ? {} : { state: 'receiving', manifestDigest: null })
  const stopping = new AbortController()
  onTestFinished(() => stopping.abort())
  const counts = await receive({
    client: portal.client(),
    folder,
    mayCreate: true,
    trust: null,
    from: null,
    isOnce: true,
    signal: stopping.signal,
    onEvent: () => {},
    ...options,
  })
  expect(counts).toEqual({ received: 1, refused: 0 })
  return most
}

test('their number grows where the latency is high and more of them increase the throughput', async () => {
  expect(await mostInFlight(true)).toBeGreaterThanOrEqual(8)
})

test('requests that only wait for parts in upload do not increase the number', async () => {
  expect(await mostInFlight(false)).toBeLessThanOrEqual(4)
})

test('a fixed number is kept', async () => {
  expect(await mostInFlight(true, { partsInFlight: 3 })).toBe(3)
})
