/** The cost of validating a KiB of an answer does not grow with its length, in Node and in a page. */
import { describe, expect, test } from 'vitest'
import { conforms as conformsInPage } from '../../src/protocol/conforms.browser.ts'
import * as protocol from '../../src/protocol/index.ts'
import { ManifestClaims } from '../../src/trust/manifest.ts'
import { cpuMsOf } from '../suites/cpu.ts'
import { hostileForms } from '../suites/hostile.ts'

const KIB = 1024
const SMALL_KIB = 4
const LARGE_KIB = 32
const TRIES = 5
/** How many times more a KiB of a large answer may cost than a KiB of a small one. Quadratic cost would give 8. */
const GROWTH_MAX = 3
/** Lower costs of a KiB cannot be told from noise. */
const CPU_MS_PER_KIB_MIN = 0.1

const at = '2026-11-22T21:51:44.123Z'
const transferId = protocol.newTransferId()
const problem = new protocol.Problem('disk-full', { detail: 'no room' }).toJSON()
const digest = 'a'.repeat(64)
const metadata = { sealed: 's'.repeat(80), keys: { alice: 'A'.repeat(107), bob: 'B'.repeat(107) } }
const sizes = { sizeBytes: 5, partSizeBytes: 65_536, digestAlgorithm: 'sha-256' }
const delivery = { receiver: 'bob', state: 'failed', fetchedBytes: 0, offers: 1, problem, offeredAt: at, endedAt: at }
const summary = {
  ...{ transferId, state: 'ended', attempt: 1, from: 'alice', to: ['bob'], metadata, ...sizes },
  ...{ createdAt: at, expiresAt: at, deliveries: [delivery] },
}
const event = { eventId: '1', at, transferId, attempt: 1, notification: 'resend', problem, wanted: [[1, 1]] }

const answers: readonly (readonly [string, Parameters<typeof protocol.conforms>[0], unknown])[] = [
  [
    'the status of a transfer',
    protocol.TransferStatus,
    { ...summary, manifest: 'a.b.c', parts: [{ partNumber: 1, digest }], notifications: [event] },
  ],
  ['a page of transfers', protocol.TransferPage, { transfers: [summary], before: null }],
  ['a page of events', protocol.EventPage, { events: [event], after: '1' }],
  [
    'an offer',
    protocol.Offer,
    {
      ...{ transferId, leaseId: 'l'.repeat(24), leaseMs: 1000, state: 'stored', from: 'alice', metadata, ...sizes },
      ...{ manifestDigest: digest, manifest: 'a.b.c', expiresAt: at, streamMs: 1, content: 'aGVsbG8=' },
    },
  ],
  ['a problem', protocol.ProblemBody, problem],
  ['an account', protocol.AccountWithKeys, { account: 'bob', keys: null }],
  ['the limits', protocol.Limits, { digestAlgorithms: ['sha-256'] }],
  [
    'a manifest',
    ManifestClaims,
    { transferId, from: 'alice', to: ['bob'], ...sizes, manifestDigest: digest, metadata: { name: 'a' } },
  ],
]

describe.each([
  ['Node', protocol.conforms],
  ['a page', conformsInPage],
] as const)('on %s', (_, conforms) => {
  test.each(answers)(
    'checking %s costs in proportion to its length',
    { timeout: 90_000 },
    async (_what, schema, example) => {
      conforms(schema, example)
      for (const { what, text } of hostileForms(example)) {
        const [smallValue, largeValue] = [SMALL_KIB, LARGE_KIB].map((kib): unknown => JSON.parse(text(kib * KIB)))
        let [small, large] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
        const isLinear = (): boolean => large < GROWTH_MAX * Math.max(small, CPU_MS_PER_KIB_MIN)
        for (let tries = 0; tries < TRIES && !isLinear(); tries++) {
          small = Math.min(small, (await cpuMsOf(() => conforms(schema, smallValue))) / SMALL_KIB)
          large = Math.min(large, (await cpuMsOf(() => conforms(schema, largeValue))) / LARGE_KIB)
        }
        expect(isLinear(), `${what}: ${large} CPU ms a KiB, of a short one ${small}`).toBe(true)
      }
    },
  )
})

/** Schema keywords that compare the values of a list or object with each other, or visit them repeatedly. */
const COSTLY = [
  'uniqueItems',
  'contains',
  'not',
  'if',
  'oneOf',
  'propertyNames',
  'dependentSchemas',
  '$ref',
  '$dynamicRef',
]

test('no schema has a rule whose cost grows faster than the length', () => {
  const costly = (value: unknown, path: string): string[] =>
    typeof value !== 'object' || value === null
      ? []
      : Object.entries(value).flatMap(([name, member]) => [
          ...(COSTLY.includes(name) || name.startsWith('unevaluated') ? [`${path}/${name}`] : []),
          ...costly(member, `${path}/${name}`),
        ])
  const schemas = Object.entries({ ...protocol, ManifestClaims })
  expect(schemas.flatMap(([name, schema]) => costly(schema, name))).toEqual([])
})
