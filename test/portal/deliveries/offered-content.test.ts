/** A receiver with a limit says how much content open offers may bring. The rest is offered without, and is fetched when it is asked for. */
import { expect, onTestFinished, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { newTransferId, type Offer, partSizeBytesDefault } from '../../../src/protocol/index.ts'
import { TestPortal } from '../portal.ts'

const SIZE_BYTES = 1000
const algorithm = 'sha-256'

test('open offers bring no more content than asked for, and one that was answered makes room', async () => {
  const portal = await TestPortal.start()
  const [alice, bob] = [portal.client('alice'), portal.client('bob')]
  for (let number = 0; number < 6; number++) {
    const content = Buffer.alloc(SIZE_BYTES, `${number}`)
    const manifestDigest = manifestDigestOf(algorithm, [digestOf(algorithm, content)])
    const file = { to: ['bob'], metadata: { name: `${number}` }, sizeBytes: SIZE_BYTES }
    const whole = { ...file, partSizeBytes: partSizeBytesDefault, digestAlgorithm: algorithm, manifestDigest } as const
    await alice.putWhole(newTransferId(), whole, content)
  }
  const gone = new AbortController()
  onTestFinished(() => gone.abort())
  const question = { instanceId: 'instance-1', window: 4, contentBytesMax: 2 * SIZE_BYTES + 1 }
  const offers: Offer[] = []
  const answer = async (index: number): Promise<void> => {
    const { transferId, leaseId, manifestDigest } = offers[index] ?? {}
    if (transferId === undefined || leaseId === undefined || typeof manifestDigest !== 'string')
      throw new Error('no such offer')
    await bob.disposition(transferId, { leaseId, disposition: 'received', manifestDigest })
  }
  for await (const message of bob.watchInbox(question, { signal: gone.signal })) {
    if (message.type !== 'offer') continue
    offers.push(message.offer)
    // The window is full. The last one brought nothing, so its end makes no room for content.
    if (offers.length === 4) await answer(3)
    if (offers.length === 5) await answer(0)
    if (offers.length === 6) break
  }
  expect(offers.map(({ content }) => content !== undefined)).toEqual([true, true, false, false, false, true])
})
