/** An answer that stays open while the portal has more to send. */
import fastify from 'fastify'
import { expect, onTestFinished, test } from 'vitest'
import { answerWithTexts } from '../../../src/portal/http/long-answer.ts'

test('an answer that breaks off does not look like a complete one', async () => {
  const app = fastify()
  onTestFinished(() => app.close())
  const { signal } = new AbortController()
  const form = { contentType: 'text/plain', heartbeat: '\n' }
  const answer = (path: string, end: () => void) =>
    app.get(path, (request, reply) =>
      answerWithTexts(request, reply, signal, form, async function* () {
        yield 'stored\n'
        end()
      }),
    )
  answer('/whole', () => {})
  answer('/broken', () => {
    throw new Error('the ledger is away')
  })
  const address = await app.listen({ host: '127.0.0.1', port: 0 })
  expect(await (await fetch(`${address}/whole`)).text()).toBe('stored\n')
  // The portal has already sent the status, so it cannot report the failure there.
  const broken = await fetch(`${address}/broken`)
  expect(broken.status).toBe(200)
  await expect(broken.text()).rejects.toThrow()
})
