/** A receiver that writes into a stream: only verified parts, in order, and no receipt for what does not hold. */
import { expect, test } from 'vitest'
import type { ReceiveEvent } from '../../src/receiver/index.ts'
import { receiveStream } from '../../src/receiver/node-receive.ts'
import { newContent } from './folders.ts'
import { ScriptedPortal } from './scripted-portal.ts'

const MIB = 1024 * 1024

function receiving(portal: ScriptedPortal, write?: (bytes: Uint8Array) => Promise<void>, keepsBuffers = true) {
  const written: Uint8Array[] = []
  const events: ReceiveEvent[] = []
  const result = receiveStream({
    client: portal.client(),
    trust: null,
    from: null,
    keepsTimes: false,
    output: {
      keepsBuffers,
      write: write ?? (async (bytes) => void written.push(Buffer.from(bytes))),
      finish: async () => {},
    },
    signal: AbortSignal.timeout(90_000),
    onEvent: (event) => events.push(event),
    idleMs: 2_000,
  })
  return { result, events, written: () => Buffer.concat(written) }
}

test('parts that come in any order are written in theirs', async () => {
  const portal = await ScriptedPortal.start()
  const content = newContent(10_000, 1_000)
  portal.onPart = (partNumber) => (partNumber === 2 && portal.asked.length < 4 ? 'cut' : 'serve')
  portal.send(content)
  const { result, written } = receiving(portal)
  expect(await result).toEqual({ received: 1, refused: 0 })
  expect(written().equals(content.bytes)).toBe(true)
  expect(portal.dispositions).toMatchObject([{ disposition: 'received' }])
})

test('when the manifest does not hold, the file is refused, and nothing is received', async () => {
  const portal = await ScriptedPortal.start()
  portal.send(newContent(10_000, 1_000), { manifestDigest: 'ab'.repeat(32) })
  const { result, events } = receiving(portal)
  expect(await result).toEqual({ received: 0, refused: 1 })
  expect(portal.dispositions).toMatchObject([{ disposition: 'refused', problem: { code: 'manifest-mismatching' } }])
  expect(events.at(-1)).toMatchObject({ type: 'refused' })
})

test('when the output fails, the file is not answered: only its lease is given back', async () => {
  const portal = await ScriptedPortal.start()
  portal.send(newContent(10_000, 1_000))
  const { result } = receiving(portal, async () => {
    throw new Error('the reader has gone')
  })
  await expect(result).rejects.toMatchObject({ name: 'OutputFailedError' })
  expect(portal.dispositions).toMatchObject([{ disposition: 'released' }])
})

test('an output that keeps what it was given keeps it unchanged', async () => {
  const portal = await ScriptedPortal.start()
  const content = newContent(16 * MIB, 2 * MIB)
  portal.send(content)
  const kept: Uint8Array[] = []
  const { result } = receiving(portal, async (bytes) => void kept.push(bytes))
  expect(await result).toEqual({ received: 1, refused: 0 })
  expect(Buffer.concat(kept).equals(content.bytes)).toBe(true)
})

test('the memory of what an output has passed on is reused', async () => {
  const portal = await ScriptedPortal.start()
  const content = newContent(64 * MIB, 2 * MIB)
  portal.send(content)
  const written: Buffer[] = []
  const used = new Set<ArrayBufferLike>()
  let usedBytes = 0
  const write = async (bytes: Uint8Array): Promise<void> => {
    if (!used.has(bytes.buffer)) usedBytes += bytes.buffer.byteLength
    used.add(bytes.buffer)
    written.push(Buffer.from(bytes))
  }
  const { result } = receiving(portal, write, false)
  expect(await result).toEqual({ received: 1, refused: 0 })
  expect(Buffer.concat(written).equals(content.bytes)).toBe(true)
  expect(usedBytes).toBeLessThan(32 * MIB)
})
