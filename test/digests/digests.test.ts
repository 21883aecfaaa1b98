import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { blake3 as library } from '@noble/hashes/blake3.js'
import { describe, expect, test } from 'vitest'
import { nativeBlake3 } from '../../src/digests/blake3.ts'
import {
  type DigestDriver,
  digestDriver,
  digestOf,
  fastDigestAlgorithms,
  manifestDigestOf,
} from '../../src/digests/index.ts'
import { scriptDriver } from '../../src/digests/script-driver.ts'
import { digestLengthsBytes, knownDigestAlgorithms } from '../../src/protocol/index.ts'
import { addonIsRequired } from '../suites/addon.ts'
import { randomBytes, randomInt } from '../suites/random.ts'

interface Vectors {
  readonly 'sha-256': readonly { text: string; digest: string }[]
  readonly blake3: readonly { lengthBytes: number; digest: string }[]
  readonly manifest: readonly { parts: readonly string[]; digest: string }[]
}

const vectors: Vectors = JSON.parse(readFileSync(join(import.meta.dirname, 'vectors.json'), 'utf8'))

/** All implementations of the algorithms. */
const drivers: readonly [string, DigestDriver][] = [
  ['sha-256', digestDriver('sha-256')],
  ...(nativeBlake3 === null ? [] : [['blake3 by the addon', nativeBlake3] satisfies [string, DigestDriver]]),
  ['blake3 in JavaScript', scriptDriver('blake3', library)],
]

function digestBy(driver: DigestDriver, bytes: Uint8Array): string {
  const hasher = driver.create()
  hasher.update(bytes)
  return hasher.digest()
}

test.runIf(addonIsRequired)('on the platforms of CI the addon is installed, and its algorithm comes first', () => {
  expect(nativeBlake3).not.toBeNull()
  expect(digestDriver('blake3')).toBe(nativeBlake3)
  expect(fastDigestAlgorithms).toEqual(['blake3', 'sha-256'])
})

test.each(vectors['sha-256'])('the sha-256 of "$text" equals the published one', ({ text, digest }) => {
  expect(digestOf('sha-256', Buffer.from(text))).toBe(digest)
})

describe.each(drivers.filter(([, { name }]) => name === 'blake3'))('%s', (_name, driver) => {
  test.each(vectors.blake3)('the digest of $lengthBytes bytes equals the published one', ({ lengthBytes, digest }) => {
    const bytes = Uint8Array.from({ length: lengthBytes }, (_, index) => index % 251)
    expect(digestBy(driver, bytes)).toBe(digest)
  })
})

test.runIf(nativeBlake3)('the addon and JavaScript agree on random input', () => {
  for (const lengthBytes of Array.from({ length: 50 }, () => randomInt(20_000))) {
    const bytes = randomBytes(lengthBytes)
    expect(digestOf('blake3', bytes)).toBe(digestBy(scriptDriver('blake3', library), bytes))
  }
})

test.each(vectors.manifest)(
  'the manifestDigest of the parts $parts equals the result of coreutils',
  ({ parts, digest }) => {
    const partDigests = parts.map((part) => digestOf('sha-256', Buffer.from(part)))
    expect(manifestDigestOf('sha-256', partDigests)).toBe(digest)
  },
)

test.each(knownDigestAlgorithms)('the manifestDigest by %s is over the raw digests, in their order', (algorithm) => {
  const digests = ['a', 'b'].map((part) => digestOf(algorithm, Buffer.from(part)))
  expect(manifestDigestOf(algorithm, digests)).toBe(digestOf(algorithm, Buffer.from(digests.join(''), 'hex')))
  expect(manifestDigestOf(algorithm, digests)).not.toBe(manifestDigestOf(algorithm, digests.toReversed()))
})

describe.each(drivers)('%s', (_name, driver) => {
  test('gives the same digest for any split of the bytes, in lower-case hex of its length', () => {
    const bytes = randomBytes(10_000)
    const hasher = driver.create()
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + randomInt(1000))
      hasher.update(bytes.subarray(at, end))
      at = end
    }
    const digest = hasher.digest()
    expect(digest).toBe(digestBy(driver, bytes))
    expect(digest).toMatch(/^[0-9a-f]+$/)
    expect(digest).toHaveLength(2 * digestLengthsBytes[driver.name])
  })

  test('accepts bytes at any offset of their buffer, and does not change them', () => {
    const bytes = randomBytes(5_000)
    const around = new Uint8Array(6_000)
    around.set(bytes, 7)
    const view = around.subarray(7, 5_007)
    expect(digestBy(driver, view)).toBe(digestBy(driver, bytes))
    expect(Buffer.from(view)).toEqual(Buffer.from(bytes))
  })

  test('keeps concurrent digests apart', () => {
    const [one, other] = [driver.create(), driver.create()]
    one.update(Buffer.from('a'))
    other.update(Buffer.from('b'))
    one.update(Buffer.from('c'))
    expect([one.digest(), other.digest()]).toEqual(['ac', 'b'].map((text) => digestBy(driver, Buffer.from(text))))
  })
})

test('an unknown algorithm is refused, and the known ones are named', () => {
  for (const name of ['md5', '', 'SHA-256', 'BLAKE3', 'toString']) {
    const refusal = expect.objectContaining({
      code: 'digest-unsupported-algorithm',
      details: { wanted: knownDigestAlgorithms },
    })
    expect(() => digestDriver(name)).toThrow(refusal)
  }
})
