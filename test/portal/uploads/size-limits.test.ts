/** A file may be as large as the limit that the portal announces. A larger one gets its own problem code. */
import { expect, test } from 'vitest'
import { newTransferId, transferSizeBytesMax } from '../../../src/protocol/index.ts'
import { refusalOf, TestPortal } from '../portal.ts'

test.each([
  ['sealed', 16],
  ['that the portal can read', 0],
])(
  'the largest file that a portal announces is accepted, and one byte more is not: a file %s',
  async (_what, tagBytes) => {
    const partBytes = 64 * 1024 * 1024 - 16
    const portal = await TestPortal.start({ accountBytesMax: 2 ** 41, storageBytesMax: 2 ** 41, transferSizeBytesMax })
    const { body } = await portal.ask('GET', '/v1/limits')
    expect(JSON.parse(body.toString()).transferSizeBytesMax).toBe(10_000 * partBytes)
    const announce = async (fileBytes: number) => {
      const count = Math.ceil(fileBytes / partBytes)
      const sizes = { sizeBytes: fileBytes + count * tagBytes, partSizeBytes: partBytes + tagBytes }
      const metadata =
        tagBytes === 0 ? { name: 'x' } : { sealed: 'AAAA', keys: { alice: 'A'.repeat(107), bob: 'A'.repeat(107) } }
      const announcement = { to: ['bob'], metadata, ...sizes, digestAlgorithm: 'sha-256' }
      return portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: portal.token('alice'), body: announcement })
    }
    // The disk of this machine may be too small for the file. The test checks the limit alone.
    expect([201, 507]).toContain((await announce(10_000 * partBytes)).status)
    for (const more of [1, partBytes, 2 ** 45]) {
      expect(refusalOf(await announce(10_000 * partBytes + more))).toBe('413 transfer-too-large')
    }
  },
)

test.each([
  ['transferSizeBytesMax', 671_088_480_001, 'setting-impossible'],
  ['transferSizeBytesMax', 1.5, 'setting-impossible'],
  ['transferSizeBytesMax', -1, 'options-invalid'],
  ['transferSizeBytesMax', Number.NaN, 'options-invalid'],
  ['wholeSizeBytesMax', 256 * 1024 + 1, 'setting-impossible'],
])('a portal does not start with a limit that no request can reach: %s %d', async (name, value, code) => {
  await expect(TestPortal.start({ [name]: value })).rejects.toMatchObject({ code })
})
