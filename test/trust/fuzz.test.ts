/** Any input from outside is read or refused with its code, at once and without another error. */
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { newTransferId, parseFingerprint } from '../../src/protocol/index.ts'
import { fromBase64Url, toBase64Url } from '../../src/trust/encoding.ts'
import {
  AccountKeys,
  ContentKey,
  openedLayout,
  type PortableKeys,
  parseReceiptFile,
  readReceipt,
  signManifest,
  signReceipt,
  verifyManifest,
  verifyReceiptToken,
} from '../../src/trust/index.ts'
import '../suites/random.ts'

const RUNS = 400
const transferId = newTransferId()
const digest = 'ab'.repeat(32)
const layout = { sizeBytes: 5, partSizeBytes: 5, digestAlgorithm: 'sha-256', manifestDigest: digest }

let keys: PortableKeys
let contentKey: ContentKey
let manifest: string
let receipt: string
let wrapped: string
let sealed: string

beforeAll(async () => {
  keys = await AccountKeys.generate()
  contentKey = await ContentKey.generate(transferId)
  const about = { transferId, from: 'ada', ...layout }
  manifest = await signManifest({ ...about, to: ['bob'], metadata: { name: 'a' } }, keys)
  const at = '2026-11-24T10:00:00Z'
  receipt = await signReceipt({ ...about, receiver: 'bob', contentDigest: digest, disposition: 'received', at }, keys)
  wrapped = await contentKey.wrap({ transferId, from: 'ada', to: 'bob' }, keys.publicKeys)
  sealed = await contentKey.sealMetadata({ name: 'a' })
})

/** A damaged text: cut, doubled, or with something else in the middle. */
const bent = (valid: () => string): fc.Arbitrary<string> =>
  fc
    .tuple(fc.nat(2000), fc.nat(20), fc.oneof(fc.string(), fc.constantFrom('A', '.', '..', '=', '_', '{}', '\0')))
    .map(([at, length, text]) => {
      const start = at % (valid().length + 1)
      return valid().slice(0, start) + text + valid().slice(start + length)
    })

const jsonToken = fc.tuple(fc.jsonValue(), fc.jsonValue(), fc.uint8Array()).map(([header, payload, signature]) =>
  [JSON.stringify(header), JSON.stringify(payload)]
    .map((text) => toBase64Url(new TextEncoder().encode(text)))
    .concat(toBase64Url(signature))
    .join('.'),
)

/** Runs `read` over random input. It may throw only problems with these codes. */
async function holds(
  inputs: fc.Arbitrary<string>,
  read: (input: string) => unknown,
  codes: readonly string[],
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(inputs, async (input) => {
      try {
        await read(input)
      } catch (error) {
        expect(codes).toContain((error as { code?: string }).code)
      }
    }),
    { numRuns: RUNS },
  )
}

const any = (valid: () => string) => fc.oneof(fc.string({ unit: 'binary' }), bent(valid), jsonToken)

test('tokens', async () => {
  await holds(
    any(() => manifest),
    (text) => verifyManifest(text, keys.publicKeys),
    ['signature-invalid'],
  )
  await holds(
    any(() => receipt),
    (text) => verifyReceiptToken(text, keys.publicKeys),
    ['receipt-invalid'],
  )
  await holds(
    any(() => receipt),
    readReceipt,
    ['receipt-invalid'],
  )
})

test('a token with any change is never accepted', async () => {
  await fc.assert(
    fc.asyncProperty(
      bent(() => receipt),
      async (text) => {
        if (text === receipt) return
        await expect(verifyReceiptToken(text, keys.publicKeys)).rejects.toMatchObject({ code: 'receipt-invalid' })
      },
    ),
    { numRuns: RUNS },
  )
})

test('public keys', async () => {
  const key = fc.oneof(fc.string(), fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toBase64Url))
  await holds(key, (signing) => verifyManifest(manifest, { ...keys.publicKeys, signing }), ['signature-invalid'])
  const wrap = (encryption: string) =>
    contentKey.wrap({ transferId, from: 'ada', to: 'bob' }, { ...keys.publicKeys, encryption })
  await holds(key, wrap, ['keys-missing'])
})

test('wrapped keys and sealed metadata', async () => {
  const context = { transferId, from: 'ada', to: 'bob' }
  await holds(
    any(() => wrapped),
    (text) => ContentKey.unwrap(text, context, keys),
    ['seal-unopenable'],
  )
  await holds(
    any(() => sealed),
    (text) => contentKey.openMetadata(text),
    ['seal-broken'],
  )
})

test('sizes', async () => {
  await fc.assert(
    fc.property(fc.nat(2 ** 40), fc.integer({ min: 1, max: 2 ** 26 }), (sizeBytes, partSizeBytes) => {
      try {
        const plain = openedLayout({ sizeBytes, partSizeBytes })
        expect(plain.sizeBytes).toBeGreaterThanOrEqual(0)
        expect(plain.sizeBytes).toBeLessThanOrEqual(sizeBytes)
      } catch (error) {
        expect((error as { code?: string }).code).toBe('seal-broken')
      }
    }),
  )
})

test('text that people type: keys, fingerprints, receipt files', async () => {
  await fc.assert(
    fc.asyncProperty(
      any(() => keys.secret),
      async (text) => {
        await AccountKeys.parse(text).catch((error) => expect(error).toBeInstanceOf(Error))
        expect(parseFingerprint(text) ?? 'abcd-efgh-ijkl-mnop-qrst-uvwx').toMatch(/^([a-z2-7]{4}-){5}[a-z2-7]{4}$/)
        const bytes = fromBase64Url(text)
        if (bytes !== null) expect(toBase64Url(bytes)).toBe(text)
      },
    ),
    { numRuns: RUNS },
  )
  await holds(fc.oneof(fc.string(), fc.json()), parseReceiptFile, ['receipt-invalid'])
})
