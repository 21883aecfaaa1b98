/** Links as people pass them on. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { guestNameOf, isGuestName, type Link, linkOf, parseLink } from '../../src/protocol/index.ts'
import '../suites/random.ts'

const secret = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8'
const fingerprint = 'abcd-efgh-ijkl-mnop-qrst-uvwx'
const plain = 'abcdefghijklmnopqrstuvwx'

const portals = ['https://files.example', 'https://files.example/gl', 'http://localhost:8080', 'https://[::1]:8443/a/b']
const links = portals.flatMap((portalUrl): Link[] => [
  { kind: 'send', portalUrl, secret, fingerprint, hasPassphrase: false },
  { kind: 'send', portalUrl, secret, fingerprint, hasPassphrase: true },
  { kind: 'request', portalUrl, secret, fingerprint },
  { kind: 'invite', portalUrl, invite: `gli_${secret}` },
])

describe('links', () => {
  test.each(links)('$kind $portalUrl is read as it was written', (link) => {
    expect(parseLink(linkOf(link))).toEqual(link)
    expect(parseLink(`\n ${linkOf(link)} `)).toEqual(link)
  })

  test('have the documented form', () => {
    expect(links.slice(0, 4).map(linkOf)).toEqual([
      `https://files.example/g#glg_${secret}.${plain}`,
      `https://files.example/g#glgp_${secret}.${plain}`,
      `https://files.example/r#glr_${secret}.${plain}`,
      `https://files.example/join#gli_${secret}`,
    ])
  })

  test.each([
    `https://files.example/r#glg_${secret}.${plain}`,
    `https://files.example/g#glr_${secret}.${plain}`,
    `https://files.example/join#glg_${secret}.${plain}`,
    `https://files.example/g#gli_${secret}`,
    `https://files.example/g#glg_${secret}`,
    `https://files.example/g#glg_${secret}.${plain.toUpperCase()}`,
    `https://files.example/g#glg_${secret.slice(1)}.${plain}`,
    `https://files.example/g#glg_${secret.slice(0, -1)}9.${plain}`,
    `https://files.example/g#glg_${secret}.${plain}.`,
    `https://files.example/g/#glg_${secret}.${plain}`,
    `https://alice@files.example/g#glg_${secret}.${plain}`,
    `ftp://files.example/g#glg_${secret}.${plain}`,
    `glg_${secret}.${plain}`,
    'https://files.example/g',
    'bob',
    '',
  ])('%s is none', (text) => {
    expect(parseLink(text)).toBeNull()
  })

  test('are read with the query that a messenger has added', () => {
    expect(parseLink(`https://files.example/g?utm_source=chat#glg_${secret}.${plain}`)).toEqual(links[0])
  })

  test('any text is read or is no link', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.webUrl({ withFragments: true })), (text) => {
        const link = parseLink(text)
        if (link !== null) expect(parseLink(linkOf(link))).toEqual(link)
      }),
    )
  })
})

test('the name of a guest is the fingerprint of its keys', () => {
  expect(guestNameOf(fingerprint)).toBe(`guest-${plain}`)
  expect(isGuestName(guestNameOf(fingerprint))).toBe(true)
  for (const name of ['guest', 'guest-', 'guest-room', `guest-${plain}a`, `guest-${plain.slice(1)}1`, `a${plain}`]) {
    expect(isGuestName(name), name).toBe(false)
  }
})
