/** The suite for drivers of cryptography: published vectors, and refusals. */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { CryptoDriver } from '../../src/trust/crypto-driver.ts'
import { AccountKeys } from '../../src/trust/index.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (from: Uint8Array): string => Buffer.from(from).toString('hex')
const text = (from: string): Uint8Array => new TextEncoder().encode(from)

/** RFC 8032 section 7.1: secret key, public key, message, signature. */
const ed25519 = [
  [
    '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a',
    '',
    'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b',
  ],
  [
    '4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb',
    '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c',
    '72',
    '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
  ],
] as const

/** The vector of RFC 9180 for base mode with X25519, HKDF-SHA256 and AES-256-GCM, its first message. */
export const hpkeVector = {
  info: bytes('4f6465206f6e2061204772656369616e2055726e'),
  aad: bytes('436f756e742d30'),
  ephemeralKey: bytes('179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11'),
  receiverKey: bytes('497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d'),
  publicKey: bytes('430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c'),
  plain: bytes('4265617574792069732074727574682c20747275746820626561757479'),
  sealed: bytes(
    '6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256' +
      'e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a',
  ),
} as const

/** The case of 60 bytes with a key of 256 bits in the specification of GCM. */
const gcm = {
  cipher: {
    key: bytes('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308'),
    nonce: bytes('cafebabefacedbaddecaf888'),
    aad: bytes('feedfacedeadbeeffeedfacedeadbeefabaddad2'),
  },
  plain: bytes(
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
  ),
  sealed: bytes(
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  ),
} as const

const PKCS8 = { Ed25519: '302e020100300506032b657004220420', X25519: '302e020100300506032b656e04220420' } as const

export function privateKey(name: keyof typeof PKCS8, raw: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.from(PKCS8[name] + hex(raw), 'hex'), format: 'der', type: 'pkcs8' })
}

/** A private key in the form that an account has. */
function accountKey(name: keyof typeof PKCS8, raw: Uint8Array) {
  return privateKey(name, raw).toCryptoKey({ name }, true, [name === 'Ed25519' ? 'sign' : 'deriveBits'])
}

/** Each byte of a text flipped by one bit, one at a time. */
function damaged(whole: Uint8Array): Uint8Array[] {
  return Array.from(whole, (_, index) => whole.map((byte, at) => (at === index ? byte ^ 1 : byte)))
}

async function fails(act: () => unknown): Promise<boolean> {
  try {
    await act()
    return false
  } catch {
    return true
  }
}

export function testCryptoDriver(name: string, driver: CryptoDriver): void {
  describe(`cryptography by ${name}`, () => {
    test.each(ed25519)('signs like RFC 8032, %#', async (secret, publicKey, message, signature) => {
      expect(hex(await driver.sign(accountKey('Ed25519', bytes(secret)), bytes(message)))).toBe(signature)
      expect(await driver.verify(bytes(publicKey), bytes(signature), bytes(message))).toBe(true)
    })

    test('verifies no other message, no other key, and nothing that is not 64 bytes', async () => {
      const [, publicKey, message, signature] = ed25519[1]
      for (const other of damaged(bytes(signature))) {
        expect(await driver.verify(bytes(publicKey), other, bytes(message))).toBe(false)
      }
      expect(await driver.verify(bytes(publicKey), bytes(signature), bytes('73'))).toBe(false)
      expect(await driver.verify(bytes(ed25519[0][1]), bytes(signature), bytes(message))).toBe(false)
      expect(await driver.verify(bytes(publicKey), bytes(signature).subarray(1), bytes(message))).toBe(false)
      expect(await fails(() => driver.verify(bytes('00'), bytes(signature), bytes(message)))).toBe(true)
    })

    test('opens the message of RFC 9180, and none of which a bit is another', async () => {
      const { info, aad, publicKey, receiverKey, plain, sealed } = hpkeVector
      const pair = { publicKey, decryptionKey: accountKey('X25519', receiverKey) }
      expect(hex(await driver.hpkeOpen(pair, { info, aad }, sealed))).toBe(hex(plain))
      const others = [...damaged(sealed), sealed.subarray(0, -1), sealed.subarray(0, 32), sealed.subarray(0, 40)]
      // The highest bit of a public key does not count for X25519 (RFC 7748 section 5); here the lowest one is flipped.
      for (const other of others) expect(await fails(() => driver.hpkeOpen(pair, { info, aad }, other))).toBe(true)
      expect(await fails(() => driver.hpkeOpen(pair, { info }, sealed))).toBe(true)
      expect(await fails(() => driver.hpkeOpen(pair, { info: aad, aad }, sealed))).toBe(true)
    })

    test('opens nothing whose encapsulated key is of low order', async () => {
      const { info, aad, publicKey, receiverKey, sealed } = hpkeVector
      const pair = { publicKey, decryptionKey: accountKey('X25519', receiverKey) }
      const zero = Uint8Array.from(sealed).fill(0, 0, 32)
      expect(await fails(() => driver.hpkeOpen(pair, { info, aad }, zero))).toBe(true)
      expect(await fails(() => driver.hpkeSeal(new Uint8Array(32), { info }, text('secret')))).toBe(true)
    })

    test('seals each message with another ephemeral key, for one receiver and one purpose', async () => {
      const [bob, carol] = [await AccountKeys.generate(), await AccountKeys.generate()]
      const [publicKey, other] = [bob, carol].map(({ publicKeys }) => bytes(hexOf(publicKeys.encryption)))
      if (publicKey === undefined || other === undefined) throw new Error('there are two accounts')
      const info = text('a purpose')
      const [one, again] = [
        await driver.hpkeSeal(publicKey, { info }, text('secret')),
        await driver.hpkeSeal(publicKey, { info }, text('secret')),
      ]
      expect(one).toHaveLength(32 + 6 + 16)
      expect(hex(one.subarray(0, 32))).not.toBe(hex(again.subarray(0, 32)))
      const pair = { publicKey, decryptionKey: bob.decryptionKey }
      for (const sealed of [one, again]) {
        expect(hex(await driver.hpkeOpen(pair, { info }, sealed))).toBe(hex(text('secret')))
      }
      const stranger = { publicKey: other, decryptionKey: carol.decryptionKey }
      expect(await fails(() => driver.hpkeOpen(stranger, { info }, one))).toBe(true)
    })

    test('derives like RFC 5869, and for each purpose something else', async () => {
      const secret = new Uint8Array(22).fill(0x0b)
      const [first, second] = await driver.hkdf(secret, new Uint8Array(), ['', 'other'])
      expect(hex(first ?? secret)).toBe('8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d')
      expect(hex(second ?? secret)).not.toBe(hex(first ?? secret))
    })

    test('encrypts like the specification of GCM, and decrypts nothing of which a bit is another', async () => {
      const { cipher, plain, sealed } = gcm
      expect(hex(await driver.encrypt(cipher, plain))).toBe(hex(sealed))
      expect(hex(await driver.decrypt(cipher, sealed))).toBe(hex(plain))
      for (const other of [...damaged(sealed), sealed.subarray(0, -1), new Uint8Array(3)]) {
        expect(await fails(() => driver.decrypt(cipher, other))).toBe(true)
      }
      expect(await fails(() => driver.decrypt({ ...cipher, aad: new Uint8Array() }, sealed))).toBe(true)
    })
  })
}

function hexOf(base64Url: string): string {
  return Buffer.from(base64Url, 'base64url').toString('hex')
}
