import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { pageHeaders } from '../../src/portal/http/security-headers.ts'
import { someBytes } from './browser/some-bytes.ts'
import { browserPage } from './harness/browser.ts'

const MIB = 1024 * 1024
const DIGESTS = 'test/page/browser/digests.ts'
/** What BLAKE3 takes at a time, once and in powers of two, and what WebAssembly is given at a time. */
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

test('BLAKE3 is several times as fast in the page as JavaScript makes it', async () => {
  await using page = await browserPage()
  expect(await page.run(DIGESTS, 'gain', 'blake3')).toBeGreaterThan(3)
  expect(page.complaints).toEqual([])
})

test('where WebAssembly is not allowed, digests of parts take longer, and are the same', async () => {
  await using page = await browserPage()
  await page.context.route('**/part-digests-worker-*.js', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, headers: { ...response.headers(), ...pageHeaders } })
  })
  const few = [0, 1, 1025, MIB + 1]
  const expected = few.map((size) => digestOf('blake3', someBytes(size)))
  expect(await page.run(DIGESTS, 'digestsOf', 'blake3', few)).toEqual(expected)
  // So it was not allowed: a worker has the policy that its own script came with.
  expect(await page.run(DIGESTS, 'gain', 'blake3')).toBeLessThan(2)
  expect(page.complaints).toEqual([])
})
