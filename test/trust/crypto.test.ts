/** Both drivers of cryptography: what one of them seals and signs the other opens and verifies. */
import { expect, test } from 'vitest'
import { cryptoDriver as browserCrypto } from '../../src/trust/crypto.browser.ts'
import { hpkeSealFrom, cryptoDriver as nodeCrypto } from '../../src/trust/crypto.ts'
import { AccountKeys } from '../../src/trust/index.ts'
import { hpkeVector, privateKey, testCryptoDriver } from '../suites/crypto-driver.ts'

testCryptoDriver('node:crypto', nodeCrypto)
testCryptoDriver('WebCrypto', browserCrypto)

test('with the ephemeral key of RFC 9180, Node seals exactly the published bytes', () => {
  const { info, aad, ephemeralKey, publicKey, plain, sealed } = hpkeVector
  const made = hpkeSealFrom(privateKey('X25519', ephemeralKey), publicKey, { info, aad }, plain)
  expect(Buffer.from(made).toString('hex')).toBe(Buffer.from(sealed).toString('hex'))
})

test.each([
  ['Node', nodeCrypto, 'a browser', browserCrypto],
  ['a browser', browserCrypto, 'Node', nodeCrypto],
])('what %s seals and signs, %3$s opens and verifies', async (_, one, __, other) => {
  const keys = await AccountKeys.generate()
  const raw = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'base64url'))
  const message = new TextEncoder().encode('what is meant')
  const signature = await one.sign(keys.signingKey, message)
  expect(await other.verify(raw(keys.publicKeys.signing), signature, message)).toBe(true)
  const publicKey = raw(keys.publicKeys.encryption)
  const sealed = await one.hpkeSeal(publicKey, { info: message }, message)
  const pair = { publicKey, decryptionKey: keys.decryptionKey }
  expect(Buffer.from(await other.hpkeOpen(pair, { info: message }, sealed)).toString()).toBe('what is meant')
})
