import { describe, expect, test } from 'vitest'
import { manifestDigestOf } from '../../src/digests/index.ts'
import { checkManifest } from '../../src/parts/index.ts'

const layout = { sizeBytes: 25, partSizeBytes: 10 }
const digests = ['01', '02', '03'].map((pair) => pair.repeat(32))
const manifestDigest = manifestDigestOf('sha-256', digests)

/** Intact parts with these numbers. */
function held(...partNumbers: number[]): Map<number, string> {
  return new Map(partNumbers.map((partNumber) => [partNumber, digests[partNumber - 1] ?? '']))
}

describe('when the sender completes the upload', () => {
  test('parts that make up the file are accepted, in any order', () => {
    expect(checkManifest(layout, 'sha-256', held(1, 2, 3), manifestDigest)).toEqual({ disposition: 'received' })
    expect(checkManifest(layout, 'sha-256', held(3, 1, 2), manifestDigest)).toEqual({ disposition: 'received' })
  })

  test('exactly the missing parts are requested again', () => {
    expect(checkManifest(layout, 'sha-256', held(2), manifestDigest)).toMatchObject({
      disposition: 'resend',
      wanted: [
        [1, 1],
        [3, 3],
      ],
      problem: { code: 'parts-missing', next: 'resend' },
    })
  })

  test('sound parts that make up another file are all requested again', () => {
    const swapped = new Map([...held(1, 2), [3, '04'.repeat(32)] as const])
    expect(checkManifest(layout, 'sha-256', swapped, manifestDigest)).toMatchObject({
      disposition: 'resend',
      wanted: [[1, 3]],
      problem: { code: 'manifest-mismatching', next: 'resend', details: { expected: manifestDigest } },
    })
  })

  test('a part beyond the end does not count', () => {
    expect(checkManifest(layout, 'sha-256', held(1, 2, 3).set(4, 'ff'.repeat(32)), manifestDigest)).toEqual({
      disposition: 'received',
    })
  })

  test('an empty file is accepted when the sender announced an empty file', () => {
    const empty = { sizeBytes: 0, partSizeBytes: 10 }
    expect(checkManifest(empty, 'sha-256', new Map(), manifestDigestOf('sha-256', []))).toEqual({
      disposition: 'received',
    })
    expect(checkManifest(empty, 'sha-256', new Map(), manifestDigest)).toMatchObject({
      disposition: 'resend',
      wanted: [],
    })
  })
})
