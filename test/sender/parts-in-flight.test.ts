/** The number of parts that a sender uploads at a time to a portal with a high latency. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { setTimeout as passed } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SendFilesOptions } from '../../src/sender/node.ts'
import { TestFolder } from './folder.ts'
import { ScriptedPortal } from './scripted-portal.ts'
import { sendFile } from './sending.ts'

const PART_BYTES = 64 * 1024
const PARTS = 40
const PART_MS = 350

let folder: TestFolder
let portal: ScriptedPortal

beforeEach(async () => {
  folder = await TestFolder.make()
  portal = await ScriptedPortal.start()
})

afterEach(async () => {
  await portal[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

/** Sends a file. @returns the maximum of concurrent parts */
async function mostInFlight(options: Partial<SendFilesOptions> = {}): Promise<number> {
  await writeFile(folder.join('file'), randomBytes(PARTS * PART_BYTES))
  let inFlight = 0
  let most = 0
  portal.interfere = async ({ method, path, raw }) => {
    if (method !== 'PUT' || !path.includes('/parts/')) return
    most = Math.max(most, ++inFlight)
    raw.once('close', () => inFlight--)
    await passed(PART_MS)
  }
  const [outcome] = await sendFile(portal, folder, { partSizeBytes: PART_BYTES, ...options })
  expect(outcome).toMatchObject({ outcome: 'delivered' })
  expect(portal.only().parts.size).toBe(PARTS)
  return most
}

test('their number grows where the latency is high and more of them increase the throughput', async () => {
  expect(await mostInFlight()).toBeGreaterThanOrEqual(8)
})

test('a fixed number is kept', async () => {
  expect(await mostInFlight({ partsInFlight: 3 })).toBe(3)
})
