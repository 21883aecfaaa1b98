/** Trust in a real browser: the same vectors as in Node, and keys that cannot be exported. */
import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { PublicKeys } from '../../src/protocol/index.ts'
import { verifyReceiptToken } from '../../src/trust/index.ts'
import { browserPage } from './harness/browser.ts'

const folder = new URL('../../vectors/', import.meta.url)
const KEYS = 'test/page/browser/held-keys.ts'

function readVectors(): Record<string, { valid: { [name: string]: unknown }[]; invalid?: unknown[] }> {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  return Object.fromEntries(
    names.map((name) => [name.replace('.json', ''), JSON.parse(readFileSync(new URL(name, folder), 'utf8'))]),
  )
}

test('the vectors hold in a browser, too', async () => {
  const vectors = readVectors()
  await using page = await browserPage()
  const result = await page.run<{ tried: number; wrong: string[] }>(
    'test/page/browser/vectors.ts',
    'tryVectors',
    vectors,
  )
  expect(result.wrong).toEqual([])
  const count = Object.values(vectors).reduce(
    (sum, { valid, invalid }) => sum + valid.length + (invalid?.length ?? 0),
    0,
  )
  expect(result.tried).toBe(count)
  expect(page.complaints).toEqual([])
})

test('keys made in a browser survive a reload, sign, open seals, and cannot be exported', async () => {
  await using page = await browserPage()
  const publicKeys = await page.run<PublicKeys>(KEYS, 'makeAndKeep')
  await page.reload()
  expect(await page.run(KEYS, 'openWhatIsSealedForThem')).toBe(true)
  const { claims } = readVectors().receipts?.valid[0] ?? {}
  const receipt = await page.run<string>(KEYS, 'signWithThem', claims)
  expect(await verifyReceiptToken(receipt, publicKeys)).toEqual(claims)
  expect(await page.run(KEYS, 'takeThem')).toEqual(Array(4).fill('InvalidAccessError'))
})
