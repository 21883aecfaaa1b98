/**
 * The features of browsers, compared with the table of `docs/browsers.md`. The page tests features and does not use
 * this table.
 */
import { buffer } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { httpServer } from '../suites/http-server.ts'
import { browserPage } from './harness/browser.ts'
import { engine } from './harness/engine.ts'

const inBoth = {
  cryptography: '16 bytes of tag',
  hasOwnFiles: true,
  stealsLocks: true,
  broadcasts: true,
  enforcesTrustedTypes: true,
  knowsUsing: true,
  iteratesStreams: true,
}
const expected = {
  // Chromium streams no request body over HTTP/1.1.
  chromium: { ...inBoth, streamedBody: 'TypeError', choosesFolders: true },
  firefox: { ...inBoth, streamedBody: '[object ReadableStream]', choosesFolders: false },
}

test('the features of this browser match docs/browsers.md', async () => {
  const { url } = await httpServer(async (request, response) => {
    response.end(await buffer(request))
  })
  const browser = await browserPage({ portalUrl: url })
  onTestFinished(() => browser.close())
  expect(await browser.run('test/page/browser/facts.ts', 'look', '/echo')).toEqual(expected[engine])
})
