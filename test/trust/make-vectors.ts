/**
 * Writes `vectors/` from fixed keys and ids: `node test/trust/make-vectors.ts`. Wrapped content keys are random by nature, so the
 * existing ones are kept.
 */
import { Buffer } from 'node:buffer'
import { createPrivateKey, sign } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import * as HPKE from 'hpke'
import { digestOf } from '../../src/digests/index.ts'
import {
  AccountKeys,
  ContentKey,
  contentDigestOf,
  fingerprintOf,
  guestOf,
  type ManifestClaims,
  newGuestOf,
  type PortableKeys,
  passphraseKeyOf,
  type ReceiptClaims,
  requestSecretsOf,
  sealedDigestOf,
  sealedLayout,
  sealLabel,
  sealProfileExport,
  signManifest,
  signReceipt,
} from '../../src/trust/index.ts'
import { partSealer } from '../../src/trust/node-part-cipher.ts'

const folder = fileURLToPath(new URL('../../vectors/', import.meta.url))
const transferId = '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c'
const otherId = '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2d'
const metadata = { name: 'Jahresbericht – final.pdf', mediaType: 'application/pdf' }

/** Keys whose raw bytes count up from a number. */
function keysFrom(first: number): Promise<PortableKeys> {
  const raw = Buffer.from(Array.from({ length: 64 }, (_, index) => (first + index) % 256))
  return AccountKeys.parse(`glk_${raw.toString('base64url')}`)
}

async function write(name: string, about: string, content: object): Promise<void> {
  await writeFile(`${folder}${name}.json`, `${JSON.stringify({ about, ...content }, null, 2)}\n`)
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const flipped = (text: string, at: number): string =>
  text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)

await mkdir(folder, { recursive: true })
const [alice, bob, carol] = await Promise.all([keysFrom(0), keysFrom(64), keysFrom(128)])
if (alice === undefined || bob === undefined || carol === undefined) throw new Error('keys are missing')

await write('keys', 'Private keys as they are kept, public keys as they travel, and their fingerprints.', {
  valid: await Promise.all(
    [alice, bob, carol].map(async ({ secret, publicKeys }) => ({
      secret,
      ...publicKeys,
      fingerprint: await fingerprintOf(publicKeys),
    })),
  ),
  invalid: [
    { secret: alice.secret.slice(4), why: 'the prefix glk_ is missing' },
    { secret: alice.secret.slice(0, -2), why: 'it is a byte short' },
    { secret: `${alice.secret}=`, why: 'base64url has no padding here' },
    { secret: `${alice.secret.slice(0, -1)}_`, why: 'bits are set behind the last byte' },
  ],
})

const wrapContext = { transferId, from: 'alice', to: 'bob' }
const wrapped = await keptWrap()
const contentKey = await ContentKey.unwrap(wrapped, wrapContext, bob)
const aboutWrap = { ...wrapContext, receiverSecret: bob.secret, wrapped }
await write('content-keys', 'A content key, wrapped for a receiver, and what is derived from it.', {
  valid: [
    {
      ...aboutWrap,
      contentKey: hex(await rawContentKey()),
      partKey: hex(contentKey.partKey),
      contentSalt: hex(contentKey.contentSalt),
    },
  ],
  invalid: [
    { ...aboutWrap, to: 'carol', why: 'it was wrapped for another account' },
    { ...aboutWrap, from: 'carol', why: 'it came from another sender' },
    { ...aboutWrap, transferId: otherId, why: 'it belongs to another transfer' },
    { ...aboutWrap, receiverSecret: carol.secret, why: 'these are not the keys that it was wrapped for' },
    { ...aboutWrap, wrapped: flipped(wrapped, 3), why: 'the encapsulated key was changed' },
    { ...aboutWrap, wrapped: flipped(wrapped, 60), why: 'the ciphertext was changed' },
    { ...aboutWrap, wrapped: wrapped.slice(0, 40), why: 'it was cut off' },
    { ...aboutWrap, wrapped: 'A'.repeat(107), why: 'the encapsulated key is of low order' },
  ].map((one) => ({ ...one, code: 'seal-unopenable' })),
})

const sealed = await contentKey.sealMetadata(metadata)
await write('metadata', 'Sealed metadata; the content key is that of content-keys.json.', {
  valid: [{ ...aboutWrap, sealed, metadata, sealedDigest: await sealedDigestOf(sealed) }],
  invalid: [
    { sealed: flipped(sealed, 2), why: 'the commitment is that of another content key' },
    { sealed: flipped(sealed, 100), why: 'the ciphertext was changed' },
    { sealed: sealed.slice(0, -4), why: 'the tag was cut off' },
    { sealed: sealed.slice(0, 43), why: 'there is nothing behind the commitment' },
    { sealed: '', why: 'there is nothing' },
  ].map((one) => ({ ...aboutWrap, ...one, code: 'seal-broken' })),
})

const plainParts = ['the first part', 'the other part', 'the end'].map((text) => Buffer.from(text))
const sealedParts = plainParts.map((plain, index) => {
  const position = { transferId, partNumber: index + 1, isLast: index === plainParts.length - 1 }
  const sealer = partSealer(contentKey.partKey, position)
  return { ...position, plain: hex(plain), sealed: hex(Buffer.concat([sealer.update(plain), sealer.finish()])) }
})
const [first, second, last] = sealedParts
if (first === undefined || second === undefined || last === undefined) throw new Error('parts are missing')
const partKey = hex(contentKey.partKey)
await write('parts', 'Sealed parts: ciphertext, then the tag of 16 bytes. All in hex.', {
  valid: sealedParts.map((part) => ({ partKey, ...part })),
  invalid: [
    { ...last, isLast: false, why: 'the last part is passed off as one in the middle: something was added' },
    { ...second, isLast: true, why: 'a part in the middle is passed off as the last: the file was cut off' },
    { ...second, partNumber: 1, why: 'it comes in the place of another part' },
    { ...first, transferId: otherId, why: 'it comes in another transfer' },
    { ...first, sealed: `00${first.sealed.slice(2)}`, why: 'a byte was changed' },
    { ...first, sealed: `${first.sealed.slice(0, -2)}00`, why: 'the tag was changed' },
    { ...first, sealed: first.sealed.slice(2), why: 'a byte is missing' },
  ].map(({ plain: _, ...one }) => ({ partKey, ...one, code: 'seal-broken' })),
})

const layouts = [
  { sizeBytes: 0, partSizeBytes: 65_536 },
  { sizeBytes: 1, partSizeBytes: 65_536 },
  { sizeBytes: 65_536, partSizeBytes: 65_536 },
  { sizeBytes: 65_537, partSizeBytes: 65_536 },
]
await write('layouts', 'Sizes of a file, and of what travels of it once it is sealed.', {
  valid: layouts.map((plain) => ({ plain, sealed: sealedLayout(plain) })),
  invalid: [
    { sealed: { sizeBytes: 16, partSizeBytes: 65_552 }, why: 'the only part would hold nothing but its tag' },
    { sealed: { sizeBytes: 65_568, partSizeBytes: 65_552 }, why: 'the last part would hold nothing but its tag' },
    { sealed: { sizeBytes: 100, partSizeBytes: 16 }, why: 'parts of nothing but a tag' },
    { sealed: { sizeBytes: 5, partSizeBytes: 65_552 }, why: 'a part that is shorter than a tag' },
  ].map((one) => ({ ...one, code: 'seal-broken' })),
})

const partDigests = plainParts.map((plain) => digestOf('sha-256', plain))
const blake3Digests = plainParts.map((plain) => digestOf('blake3', plain))
const salt = contentKey.contentSalt
const contentDigest = contentDigestOf('sha-256', salt, partDigests)
await write('content-digests', 'Digests over the digests of the parts of a file, with a salt and without one.', {
  valid: [
    { digestAlgorithm: 'sha-256', salt: hex(salt), partDigests, contentDigest },
    {
      digestAlgorithm: 'sha-256',
      salt: null,
      partDigests,
      contentDigest: contentDigestOf('sha-256', null, partDigests),
    },
    { digestAlgorithm: 'sha-256', salt: null, partDigests: [], contentDigest: contentDigestOf('sha-256', null, []) },
    ...[salt, null].map((one) => ({
      digestAlgorithm: 'blake3',
      salt: one === null ? null : hex(one),
      partDigests: blake3Digests,
      contentDigest: contentDigestOf('blake3', one, blake3Digests),
    })),
  ],
})

const wireDigests = sealedParts.map((part) => digestOf('sha-256', Buffer.from(part.sealed, 'hex')))
const manifestDigest = contentDigestOf('sha-256', null, wireDigests)
const manifest: ManifestClaims = {
  transferId,
  from: 'alice',
  to: ['bob', 'carol'],
  ...sealedLayout({ sizeBytes: 35, partSizeBytes: 14 }),
  digestAlgorithm: 'sha-256',
  manifestDigest,
  metadata: { sealedDigest: await sealedDigestOf(sealed) },
}
const plainManifest: ManifestClaims = { ...manifest, sizeBytes: 35, partSizeBytes: 14, metadata }
const receipt: ReceiptClaims = {
  transferId,
  from: 'alice',
  receiver: 'bob',
  sizeBytes: 35,
  partSizeBytes: 14,
  digestAlgorithm: 'sha-256',
  manifestDigest,
  contentDigest,
  disposition: 'received',
  at: '2026-11-24T10:00:00Z',
}
const manifestToken = await signManifest(manifest, alice)
const receiptToken = await signReceipt(receipt, bob)
const valid = { token: manifestToken, keys: alice.publicKeys, claims: manifest }

await write('manifests', 'Signed manifests.', {
  valid: [valid, { ...valid, token: await signManifest(plainManifest, alice), claims: plainManifest }],
  invalid: await bentTokens(manifestToken, alice, receiptToken, 'signature-invalid', { to: ['carol', 'bob'] }),
})
await write('receipts', 'Receipts. In the token the claims have the registered names: see PROTOCOL.md.', {
  valid: [{ token: receiptToken, keys: bob.publicKeys, claims: receipt }],
  invalid: await bentTokens(receiptToken, bob, manifestToken, 'receipt-invalid', { iat: 253_402_300_800 }),
})

const linkSecret = Buffer.from(Array.from({ length: 32 }, (_, index) => 255 - index)).toString('base64url')
const links = [
  { index: 1, passphrase: null },
  { index: 32, passphrase: null },
  { index: 1, passphrase: 'Größe ﬁx' },
]
await write('guests', 'What the secret of a send link derives for one of its guests.', {
  valid: await Promise.all(
    links.map(async ({ index, passphrase }) => {
      const passphraseKey = passphrase === null ? null : await passphraseKeyOf(linkSecret, passphrase)
      const guest = await guestOf(linkSecret, index, passphraseKey)
      const { tokenHash, keys } = newGuestOf(guest)
      return {
        secret: linkSecret,
        index,
        passphrase,
        passphraseKey: passphraseKey === null ? null : hex(passphraseKey),
        account: guest.account,
        token: guest.token,
        tokenHash,
        privateKeys: guest.keys.secret,
        ...keys,
      }
    }),
  ),
  invalid: [
    { secret: linkSecret.slice(0, -1), why: 'a character is missing' },
    { secret: `${linkSecret.slice(0, -1)}_`, why: 'bits are set behind the last byte' },
    { secret: `${linkSecret}A`, why: 'it is too long' },
  ].map((one) => ({ ...one, index: 1, passphrase: null, code: 'link-invalid' })),
})

const label = 'tax papers – 2026'
const sealedLabel = await sealLabel(linkSecret, label)
await write('requests', 'What the secret of a request link derives, and the label sealed with it.', {
  valid: [{ secret: linkSecret, ...(await requestSecretsOf(linkSecret)), label, sealedLabel }],
  invalid: [
    { sealedLabel: flipped(sealedLabel, 7), why: 'the ciphertext was changed' },
    { sealedLabel: sealedLabel.slice(0, 20), why: 'it was cut off' },
    { sealedLabel: await sealLabel(linkSecret.replace('_', 'A'), label), why: 'it belongs to another link' },
  ].map((one) => ({ secret: linkSecret, ...one, code: 'seal-broken' })),
})

/** Invalid tokens of every kind, signed where possible. */
async function bentTokens(token: string, keys: PortableKeys, otherKind: string, code: string, wrong: object) {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const read = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString())
  const text = (value: unknown): string =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const signed = (head: unknown, body: unknown): string => {
    const input = `${text(head)}.${text(body)}`
    return `${input}.${sign(null, Buffer.from(input), nodeKeyOf(keys)).toString('base64url')}`
  }
  const [head, body] = [read(header), read(payload)]
  const cases = [
    { token: `${header}.${payload}.`, why: 'it has no signature' },
    { token: `${header}.${payload}.${flipped(signature, 5)}`, why: 'the signature was changed' },
    { token: `${header}.${flipped(payload, 20)}.${signature}`, why: 'the claims were changed' },
    { token: `${token}.x`, why: 'it has four parts' },
    { token: otherKind, why: 'it is a token of another kind' },
    { token: signed({ ...head, alg: 'none' }, body), why: 'alg is none' },
    { token: signed({ ...head, alg: 'EdDSA' }, body), why: 'alg is not exactly Ed25519' },
    { token: signed({ ...head, typ: 'JWT' }, body), why: 'typ is not the one of its kind' },
    { token: signed({ ...head, crit: ['b64'], b64: false }, body), why: 'the header has other members' },
    { token: signed({ ...head, jwk: {} }, body), why: 'the header brings a key of its own' },
    { token: signed(head, { ...body, more: 1 }), why: 'it claims more than is understood' },
    { token: signed(head, { ...body, digestAlgorithm: undefined }), why: 'a claim is missing' },
    {
      token: signed(head, { ...body, ...wrong }),
      why: 'a claim is out of its bounds: receivers not in order, or a year that has five digits',
    },
    { token: signed(head, { ...body, sizeBytes: -1 }), why: 'a size is negative' },
    { token: signed(head, 'no JSON'), why: 'the claims are no JSON' },
    { token: signed(head, JSON.stringify(body).replace('{', '{"sizeBytes":1,')), why: 'a claim stands twice' },
    {
      token: signed({ ...head, kid: 'abcd-efgh-ijkl-mnop-qrst-uvwx' }, body),
      why: 'it names other keys than its signer has',
    },
    { token: signed(head, { ...body, pad: 'x'.repeat(20_000) }), why: 'it is longer than a token may be' },
    { token, keys: carol?.publicKeys, why: 'it was signed with other keys' },
    { token, keys: { ...keys.publicKeys, signing: 'A'.repeat(43) }, why: 'the public key is none that signs' },
  ]
  return cases.map((one) => ({ keys: keys.publicKeys, ...one, code }))
}

/** The signing key for Node, to sign claims that the library refuses. */
function nodeKeyOf({ secret }: PortableKeys) {
  const seed = Buffer.from(secret.slice(4), 'base64url').subarray(0, 32)
  const key = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed])
  return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
}

async function keptWrap(): Promise<string> {
  const path = `${folder}content-keys.json`
  if (existsSync(path)) return JSON.parse(await readFile(path, 'utf8')).valid[0].wrapped
  return (await ContentKey.generate(transferId)).wrap(wrapContext, bob?.publicKeys ?? { signing: '', encryption: '' })
}

async function rawContentKey(): Promise<Uint8Array> {
  const { KEM_DHKEM_X25519_HKDF_SHA256: kem, KDF_HKDF_SHA256: kdf, AEAD_AES_256_GCM: aead } = HPKE
  const suite = new HPKE.CipherSuite(kem, kdf, aead)
  const bytes = Buffer.from(wrapped, 'base64url')
  const raw = Buffer.from(bob?.secret.slice(4) ?? '', 'base64url').subarray(32)
  const privateKey = await suite.DeserializePrivateKey(raw, true)
  const info = Buffer.from(['golooader v1 content key', transferId, 'alice', 'bob'].join('\0'))
  return suite.Open(privateKey, bytes.subarray(0, 32), bytes.subarray(32), { info })
}

const passphrase = 'Größe \u2460 correct horse'
const text = JSON.stringify({ version: 1, name: 'alice' })
const exported = await sealProfileExport(
  text,
  passphrase,
  Uint8Array.from({ length: 16 }, (_, at) => at),
)
const damagedExport = Uint8Array.from(exported, (byte, at) => (at === exported.length - 1 ? byte ^ 1 : byte))
await write('profile-exports', 'Profiles in a file, encrypted with a passphrase.', {
  valid: [{ passphrase, text, file: hex(exported) }],
  invalid: [
    { why: 'another passphrase', code: 'profile-unusable', passphrase: 'correct horse', file: hex(exported) },
    { why: 'a bit of the tag differs', code: 'profile-unusable', passphrase, file: hex(damagedExport) },
    { why: 'cut off within the salt', code: 'profile-unusable', passphrase, file: hex(exported.subarray(0, 40)) },
    {
      why: 'another version',
      code: 'profile-unusable',
      passphrase,
      file: hex(exported).replace(/^(.{50})31/, '$132'),
    },
  ],
})
