/** Content on its way out to a receiver that does not read, and then does. */
import { once } from 'node:events'
import { get, type ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { setTimeout as passed } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import { expect, test } from 'vitest'
import { answerWithContent } from '../../../src/portal/http/content.ts'
import { httpServer } from '../../suites/http-server.ts'

const KIB = 1024
const CHUNK_BYTES = 64 * KIB
const CHUNKS = 1024

test('little of a part is buffered for a receiver that does not read, and all of it arrives in the end', async () => {
  let made = 0
  const chunks = function* () {
    for (; made < CHUNKS; made++) yield Buffer.alloc(CHUNK_BYTES, made % 251)
  }
  let response: ServerResponse | null = null
  const { url } = await httpServer((_, raw) => {
    response = raw
    const reply = { raw, hijack: () => {} } as unknown as FastifyReply
    const head = { 'content-length': CHUNKS * CHUNK_BYTES }
    void answerWithContent(reply, 200, head, Readable.from(chunks()))
  })
  const [answer] = await once(get(url), 'response')
  let madeBefore = -1
  while (made > madeBefore) {
    madeBefore = made
    await passed(300)
  }
  expect(made, 'what the system holds for the connection is bounded, too').toBeLessThan(CHUNKS)
  const waiting = (response as ServerResponse | null)?.writableLength ?? Number.NaN
  expect(waiting).toBeLessThan(2 * 512 * KIB)
  const content = await buffer(answer)
  expect(content.length).toBe(CHUNKS * CHUNK_BYTES)
  for (let chunk = 0; chunk < CHUNKS; chunk += 17) expect(content[chunk * CHUNK_BYTES + 1]).toBe(chunk % 251)
})
