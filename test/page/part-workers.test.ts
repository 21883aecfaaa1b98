import { expect, onTestFinished, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { pageHeaders } from '../../src/portal/http/security-headers.ts'
import { someBytes } from './browser/some-bytes.ts'
import { browserPage } from './harness/browser.ts'

const MIB = 1024 * 1024
const DIGESTS = 'test/page/browser/digests.ts'
const WORKER_URLS = '**/part-worker-*.js'
/** The block sizes of BLAKE3, alone and in powers of two, and the block size of the WebAssembly module. */
const steps = [64, 1024, 2048, 4096, 16 * 1024, 64 * 1024, MIB]
const sizes = [0, 1, ...steps.flatMap((step) => [step - 1, step, step + 1]), 3 * MIB, 8 * MIB + 5]

test.each(['sha-256', 'blake3'] as const)(
  'the page computes %s of parts of any size, and its buffers stay',
  async (algorithm) => {
    await using page = await browserPage()
    const expected = sizes.map((size) => digestOf(algorithm, someBytes(size)))
    expect(await page.run(DIGESTS, 'digestsOf', algorithm, sizes)).toEqual(expected)
    expect(page.complaints).toEqual([])
  },
)

test('BLAKE3 is several times as fast in the page as its JavaScript version', async () => {
  await using page = await browserPage()
  expect(await page.run(DIGESTS, 'gain', 'blake3')).toBeGreaterThan(3)
  expect(page.complaints).toEqual([])
})

test('without WebAssembly the digests of parts are the same, and slower', async () => {
  await using page = await browserPage()
  const { context } = page
  onTestFinished(() => context.unroute(WORKER_URLS))
  await context.route(WORKER_URLS, async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, headers: { ...response.headers(), ...pageHeaders } })
  })
  const few = [0, 1, 1025, MIB + 1]
  const expected = few.map((size) => digestOf('blake3', someBytes(size)))
  expect(await page.run(DIGESTS, 'digestsOf', 'blake3', few)).toEqual(expected)
  // The policy of the worker's own script applies, so WebAssembly was forbidden.
  expect(await page.run(DIGESTS, 'gain', 'blake3')).toBeLessThan(2)
  expect(page.complaints).toEqual([])
})
