/** Parts sealed by Node can be opened by a browser, and the reverse. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { openPart, sealPart, sealTagBytes } from '../../src/trust/index.ts'
import { partOpener, partSealer } from '../../src/trust/node-part-cipher.ts'

const KIB = 1024

test.each([0, 1, 15, 16, 17, 64 * KIB, 1000 * KIB])(
  '%i bytes, sealed by Node and opened by a browser',
  async (lengthBytes) => {
    const partKey = randomBytes(32)
    const plain = randomBytes(lengthBytes)
    const position = { transferId: newTransferId(), partNumber: 70_000, isLast: lengthBytes > 0 }
    const sealer = partSealer(partKey, position)
    const byNode = Buffer.concat([sealer.update(plain), sealer.finish()])
    expect(Buffer.from(await sealPart(partKey, position, plain))).toEqual(byNode)
    expect(Buffer.from(await openPart(partKey, position, byNode))).toEqual(plain)
    const opener = partOpener(partKey, position)
    expect(opener.update(byNode.subarray(0, -sealTagBytes))).toEqual(plain)
    opener.finish(byNode.subarray(-sealTagBytes))
  },
)

test('a part does not open at another position, with a changed bit, or when it is too short for a seal', async () => {
  const partKey = randomBytes(32)
  const position = { transferId: newTransferId(), partNumber: 2, isLast: false }
  const sealed = await sealPart(partKey, position, randomBytes(100))
  const changed = sealed.slice()
  changed[50] = (changed[50] ?? 0) ^ 1
  const broken = [
    openPart(partKey, { ...position, partNumber: 3 }, sealed),
    openPart(partKey, { ...position, isLast: true }, sealed),
    openPart(partKey, { ...position, transferId: newTransferId() }, sealed),
    openPart(randomBytes(32), position, sealed),
    openPart(partKey, position, changed),
    openPart(partKey, position, sealed.subarray(0, -1)),
    openPart(partKey, position, sealed.subarray(0, sealTagBytes - 1)),
    openPart(partKey, position, new Uint8Array()),
  ]
  for (const one of await Promise.allSettled(broken)) {
    expect(one).toMatchObject({ status: 'rejected', reason: { code: 'seal-broken' } })
  }
})
