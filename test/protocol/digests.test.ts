import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatContentDigest, fromHex, isDigestHex, parseContentDigest, toHex } from '../../src/protocol/index.ts'
import '../suites/random.ts'

const hex = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const field = 'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:'
const other = 'sha-512=:3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==:'

describe('Content-Digest', () => {
  test('is written in the form of RFC 9530', () => {
    expect(formatContentDigest('sha-256', hex)).toBe(field)
  })

  test('every written digest can be read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const digest = toHex(bytes)
        expect(isDigestHex('sha-256', digest)).toBe(true)
        expect([...fromHex(digest)]).toEqual([...bytes])
        expect(parseContentDigest('sha-256', formatContentDigest('sha-256', digest))).toBe(digest)
      }),
    )
  })

  test.each([
    field,
    ` ${field} `,
    `${other}, ${field}`,
    `${field},${other}`,
    `unknown=:AA==:,\t${field}`,
    `${field};source=disk`,
  ])('%j has the digest', (value) => {
    expect(parseContentDigest('sha-256', value)).toBe(hex)
  })

  test('of several values of one algorithm, the last counts (RFC 8941 section 4.2.2)', () => {
    const zeros = `sha-256=:${Buffer.alloc(32).toString('base64')}:`
    expect(parseContentDigest('sha-256', `${zeros}, ${field}`)).toBe(hex)
    expect(parseContentDigest('sha-256', `${field}, ${zeros}`)).toBe('00'.repeat(32))
  })

  test('is required', () => {
    expect(() => parseContentDigest('sha-256', undefined)).toThrow(expect.objectContaining({ code: 'digest-required' }))
  })

  test.each([other, '', 'garbage', 'sha-1=:AA==:', 'SHA-256=:AA==:'])('%j has none of the algorithm', (value) => {
    const refusal = expect.objectContaining({ code: 'digest-unsupported-algorithm' })
    expect(() => parseContentDigest('sha-256', value)).toThrow(refusal)
  })

  test.each([
    'sha-256',
    'sha-256=',
    'sha-256=::',
    'sha-256=:AA==:',
    `sha-256=${hex}`,
    `sha-256="${hex}"`,
    'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=',
    'sha-256=ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:',
    'sha-256=:ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0=:',
    'sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:x',
    `sha-256=:${Buffer.alloc(33).toString('base64')}:`,
    `sha-256=:${Buffer.alloc(31).toString('base64')}:`,
  ])('%j is not a digest', (value) => {
    expect(() => parseContentDigest('sha-256', value)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^digest-(invalid-value|unsupported-algorithm)$/) }),
    )
  })

  test('any input is read or refused with a code', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((rest) => `sha-256=:${rest}:`),
      fc.base64String(),
    )
    fc.assert(
      fc.property(text, (value) => {
        try {
          expect(parseContentDigest('sha-256', value)).toMatch(/^[0-9a-f]{64}$/)
        } catch (error) {
          expect(error).toMatchObject({ name: 'Problem', code: expect.stringMatching(/^digest-/) })
        }
      }),
    )
  })
})

test.each([
  [hex, true],
  [hex.toUpperCase(), false],
  [hex.slice(2), false],
  [`${hex}00`, false],
  [`g${hex.slice(1)}`, false],
  ['', false],
])('%j as a sha-256 in hex: %s', (text, isOne) => {
  expect(isDigestHex('sha-256', text)).toBe(isOne)
})
