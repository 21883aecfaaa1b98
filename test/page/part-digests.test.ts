import { expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import { browserPage } from './harness/browser.ts'

const MIB = 1024 * 1024
const sizes = [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 2 * MIB + 5]

test.each(['sha-256', 'blake3'] as const)(
  'the page computes %s of parts of any size, and its buffers stay',
  async (algorithm) => {
    await using page = await browserPage()
    expect(await page.run('test/page/browser/digests.ts', 'differences', algorithm, sizes)).toEqual([])
    const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index & 255)
    const digest = await page.run('src/page/platform/part-digests.ts', 'digestPart', algorithm, bytes)
    expect(digest).toBe(digestOf(algorithm, bytes))
    expect(page.complaints).toEqual([])
  },
)
