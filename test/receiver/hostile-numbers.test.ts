/** Extreme numbers from a portal make a receiver neither loop nor stop. */
import { expect, onTestFinished, test } from 'vitest'
import { PortalClient } from '../../src/client/index.ts'
import { nodeTransport } from '../../src/client/node-transport.ts'
import { Problem } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { httpServer } from '../suites/http-server.ts'
import { newContent, visible } from './folders.ts'
import { eventually, running } from './running.ts'
import { ScriptedPortal } from './scripted-portal.ts'

/** Node's warnings about timers with a too long time, which fire at once. */
function overflows(): Error[] {
  const warnings: Error[] = []
  const note = (warning: Error): void => {
    if (warning.name === 'TimeoutOverflowWarning') warnings.push(warning)
  }
  process.on('warning', note)
  onTestFinished(() => void process.off('warning', note))
  return warnings
}

test('after a Retry-After of three years the portal is not asked again at once', async () => {
  const warnings = overflows()
  let requests = 0
  const problem = JSON.stringify(new Problem('unavailable').toJSON())
  const { url } = await httpServer((request, response) => {
    requests++
    request.resume()
    response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '99999999' }).end(problem)
  })
  const transport = nodeTransport(url)
  onTestFinished(() => transport.close())
  const receiver = running({ client: () => new PortalClient(transport, 'token') }, await testFolder())
  expect((await receiver.seen('disconnected')).pauseMs).toBe(600_000)
  await receiver.stop()
  expect(requests).toBe(1)
  expect(warnings).toEqual([])
})

test.each([9e15, 1])('an offer with a lease of %s ms is received like any other', async (leaseMs) => {
  const warnings = overflows()
  const [portal, folder] = [await ScriptedPortal.start(), await testFolder()]
  const content = newContent(400_000, 100_000)
  const transferId = portal.send(content, { leaseMs, state: 'receiving', manifestDigest: null })
  const receiver = running(portal, folder)
  await eventually(() => expect(new Set(portal.asked).size).toBe(4))
  portal.change(transferId, { leaseMs, state: 'stored', manifestDigest: content.manifestDigest })
  await receiver.seen('received')
  expect(await visible(folder)).toEqual(['file.bin'])
  expect(receiver.events.filter(({ type }) => type === 'given-up')).toEqual([])
  expect(warnings).toEqual([])
})
