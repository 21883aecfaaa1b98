/** A receiver accepts or refuses any offer at once, and gives a reason. For names see `names.test.ts`. */
import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { expect, test } from 'vitest'
import { checked, parsed } from '../../src/client/answers.ts'
import { NoResponseError } from '../../src/client/index.ts'
import { isProblemCode, newTransferId, Offer, Problem } from '../../src/protocol/index.ts'
import { openOffer, requireSigned } from '../../src/receiver/trust.ts'
import { AccountKeys, ContentKey } from '../../src/trust/index.ts'
import '../suites/random.ts'

const RUNS = 400
const validator = Compile(Offer)

async function anOffer(keys: AccountKeys): Promise<Offer> {
  const transferId = newTransferId()
  const contentKey = await ContentKey.generate(transferId)
  const context = { transferId, from: 'ada', to: 'bob' }
  return {
    transferId,
    leaseId: 'lease-of-sixteen-or-more',
    leaseMs: 1000,
    state: 'stored',
    from: 'ada',
    metadata: {
      sealed: await contentKey.sealMetadata({ name: 'a' }),
      keys: { bob: await contentKey.wrap(context, keys.publicKeys) },
    },
    sizeBytes: 100,
    partSizeBytes: 65_552,
    digestAlgorithm: 'sha-256',
    manifestDigest: 'ab'.repeat(32),
    manifest: 'a.b.c',
    expiresAt: '2099-01-01T00:00:00.000Z',
  }
}

/** Any value for a member. */
const anything = fc.oneof(
  fc.jsonValue(),
  fc.string(),
  fc.integer(),
  fc.constantFrom('', 'a.b.c', '__proto__', 'constructor', '0'.repeat(70), [[]], { sealed: 'AAAA', keys: {} }),
  fc.constantFrom({ sealed: 'A'.repeat(400), keys: { bob: 'A'.repeat(107) } }, { name: '..' }, { name: '\0' }),
)

test('an offer with any changed member is refused with a code, or understood', async () => {
  const keys = await AccountKeys.generate()
  const offer = await anOffer(keys)
  const contacts = {
    check: () => Promise.reject(new Problem('keys-changed')),
    known: async () => keys.publicKeys,
    isPinned: async () => true,
  }
  const acceptance = { trust: { account: 'bob', keys, contacts }, from: null, rememberedSinceMs: 0 }
  const members = fc.constantFrom(...(Object.keys(offer) as (keyof Offer)[]))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(members, anything), { maxLength: 3 }), async (changes) => {
      const bent = { ...offer, ...Object.fromEntries(changes) } as Offer
      if (!validator.Check(bent)) {
        expect(() => checked(Offer, bent)).toThrow(NoResponseError)
        return
      }
      try {
        const opened = await openOffer(acceptance, bent, async () => keys.publicKeys)
        const manifestDigest = bent.manifestDigest ?? 'ab'.repeat(32)
        await requireSigned(
          acceptance,
          opened,
          { ...bent, state: 'stored', manifestDigest },
          async () => keys.publicKeys,
        )
      } catch (error) {
        expect(error).toBeInstanceOf(Problem)
        expect(isProblemCode((error as Problem).code)).toBe(true)
      }
    }),
    { numRuns: RUNS },
  )
})

test('text that is no JSON, and JSON of another form, is no valid answer', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        checked(Offer, parsed(text))
      } catch (error) {
        expect(error).toBeInstanceOf(NoResponseError)
      }
    }),
    { numRuns: RUNS },
  )
})
