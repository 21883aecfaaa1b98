/** Which digest algorithm a sender chooses, and what it does when a portal no longer offers it. */
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { fastDigestAlgorithms } from '../../src/digests/index.ts'
import { defaultDigestAlgorithm } from '../../src/protocol/index.ts'
import type { SendOutcome } from '../../src/sender/index.ts'
import { TestFolder } from './folder.ts'
import { ScriptedPortal } from './scripted-portal.ts'
import { sendFile } from './sending.ts'

const [fastest = defaultDigestAlgorithm] = fastDigestAlgorithms

let folder: TestFolder
let portal: ScriptedPortal

beforeEach(async () => {
  folder = await TestFolder.make()
  portal = await ScriptedPortal.start()
  await writeFile(folder.join('file'), randomBytes(2_500))
})

afterEach(async () => {
  await portal[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

function sending(signal = new AbortController().signal): Promise<SendOutcome[]> {
  return sendFile(portal, folder, { partSizeBytes: 1_000, signal })
}

function offer(...digestAlgorithms: string[]): void {
  portal.limits = { ...portal.limits, digestAlgorithms }
}

test.each([
  [['sha-256'], 'sha-256'],
  [['blake3', 'sha-256'], fastest],
  [['sha-256', 'blake3'], fastest],
  [['of-the-future', 'sha-256'], 'sha-256'],
])('of the portal’s offer, %j, the sender chooses the algorithm that it computes fastest', async (offered, taken) => {
  offer(...offered)
  expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
  expect(portal.only().announcement.digestAlgorithm).toBe(taken)
})

/** Interrupts a send right before the announcement. */
async function interruptedBeforeAnnouncing(): Promise<void> {
  const stop = new AbortController()
  portal.interfere = ({ method, raw }) => {
    if (method !== 'PUT') return
    stop.abort(new Error('interrupted'))
    raw.destroy()
  }
  await expect(sending(stop.signal)).rejects.toThrow('interrupted')
  portal.interfere = () => {}
}

test.runIf(fastest === 'blake3')(
  'a file whose transfer the portal never heard of, and would not take any more, is sent as another one',
  async () => {
    offer('blake3', 'sha-256')
    await interruptedBeforeAnnouncing()
    offer('sha-256')
    expect(await sending()).toMatchObject([{ outcome: 'delivered' }])
    expect(portal.only().announcement.digestAlgorithm).toBe('sha-256')
  },
)

test('a portal that refuses its own offer is not asked in a loop', async () => {
  portal.interfere = ({ method }) => {
    if (method === 'PUT') offer('of-the-future')
  }
  expect(await sending()).toMatchObject([
    { outcome: 'refused', problem: { code: 'digest-unsupported-algorithm', wanted: ['of-the-future'] } },
  ])
  expect(portal.count(/^PUT/)).toBe(1)
})
