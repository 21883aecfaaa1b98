/** How many parts a receiver asks for at a time, seen from a portal that is far away: every answer takes its time. */
import { setTimeout as passed } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { type ReceiveFolderOptions, receive } from '../../src/receiver/node-receive.ts'
import { testFolder } from '../suites/folder.ts'
import { newContent } from './folders.ts'
import { type PartScript, ScriptedPortal } from './scripted-portal.ts'

const PART_BYTES = 64 * 1024
const PARTS = 40
const PART_MS = 350

/** Receives a file. @returns the most parts that were asked for at a time */
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

test('where parts take long and more of them get more through, they become more', async () => {
  expect(await mostInFlight(true)).toBeGreaterThanOrEqual(8)
})

test('requests that only wait for parts that are still on their way to the portal do not become more', async () => {
  expect(await mostInFlight(false)).toBeLessThanOrEqual(4)
})

test('a number that is given is kept to', async () => {
  expect(await mostInFlight(true, { partsInFlight: 3 })).toBe(3)
})
