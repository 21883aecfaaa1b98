import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { digestAlgorithms, digestDriver, digestOf, manifestDigestOf } from '../../src/digests/index.ts'
import { digestLengthsBytes } from '../../src/protocol/index.ts'
import { randomBytes, randomInt } from '../suites/random.ts'

interface Vectors {
  readonly 'sha-256': readonly { text: string; digest: string }[]
  readonly manifest: readonly { parts: readonly string[]; digest: string }[]
}

const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8'))

test.each(vectors['sha-256'])('the sha-256 of "$text" is the published one', ({ text, digest }) => {
  expect(digestOf('sha-256', Buffer.from(text))).toBe(digest)
})

test.each(vectors.manifest)(
  'the manifestDigest of the parts $parts is what coreutils make of it',
  ({ parts, digest }) => {
    const partDigests = parts.map((part) => digestOf('sha-256', Buffer.from(part)))
    expect(manifestDigestOf('sha-256', partDigests)).toBe(digest)
  },
)

test('the manifestDigest tells the order of the parts', () => {
  const [one = '', other = ''] = ['a', 'b'].map((part) => digestOf('sha-256', Buffer.from(part)))
  expect(manifestDigestOf('sha-256', [one, other])).not.toBe(manifestDigestOf('sha-256', [other, one]))
})

describe.each(digestAlgorithms)('%s', (algorithm) => {
  test('gives the same digest however the bytes come, in lower-case hex of its length', () => {
    const bytes = randomBytes(10_000)
    const hasher = digestDriver(algorithm).create()
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + randomInt(1000))
      hasher.update(bytes.subarray(at, end))
      at = end
    }
    const digest = hasher.digest()
    expect(digest).toBe(digestOf(algorithm, bytes))
    expect(digest).toMatch(/^[0-9a-f]+$/)
    expect(digest).toHaveLength(2 * digestLengthsBytes[algorithm])
  })
})

test('an algorithm that is not known here is refused, and what is known is named', () => {
  for (const name of ['md5', '', 'SHA-256', 'toString']) {
    const refusal = expect.objectContaining({
      code: 'digest-unsupported-algorithm',
      details: { wanted: digestAlgorithms },
    })
    expect(() => digestDriver(name)).toThrow(refusal)
  }
})
