import { expect, test } from 'vitest'
import * as browser from '../../src/trust/base64.browser.ts'
import * as node from '../../src/trust/base64.ts'

test('Node and a browser write and read the same base64', () => {
  for (const length of [0, 1, 2, 3, 4, 5, 255, 4096]) {
    const padded = Uint8Array.from({ length: length + 3 }, (_, index) => (index * 151 + length) & 0xff)
    // Not at the start of its memory.
    const bytes = padded.subarray(3)
    const text = node.encodeBase64(bytes)
    expect(browser.encodeBase64(bytes)).toBe(text)
    expect(node.decodeBase64(text)).toEqual(bytes)
    expect(browser.decodeBase64(text)).toEqual(bytes)
  }
})

test('decoded bytes have memory of their own', () => {
  const bytes = node.decodeBase64('AAEC')
  expect(bytes.buffer.byteLength).toBe(3)
})

test('text that is no base64 does not throw', () => {
  for (const text of ['*', 'A', 'AAEC*', '\u{1f600}', 'AA==AA']) {
    expect(node.decodeBase64(text)).toBeInstanceOf(Uint8Array)
    expect(browser.decodeBase64(text)).toBeInstanceOf(Uint8Array)
  }
})
