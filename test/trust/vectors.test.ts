/** The vectors of `vectors/` hold: valid ones give their results, and invalid ones are refused with their code. */
import { createDecipheriv, createHash, hkdfSync, scryptSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { digestOf } from '../../src/digests/index.ts'
import {
  AccountKeys,
  ContentKey,
  contentDigestOf,
  fingerprintOf,
  guestOf,
  newGuestOf,
  openedLayout,
  openLabel,
  openPart,
  openProfileExport,
  passphraseKeyOf,
  requestSecretsOf,
  sealedDigestOf,
  sealedLayout,
  sealLabel,
  sealPart,
  sealProfileExport,
  signManifest,
  signReceipt,
  verifyManifest,
  verifyReceiptToken,
} from '../../src/trust/index.ts'
import { partOpener, partSealer } from '../../src/trust/node-part-cipher.ts'

// biome-ignore lint/suspicious/noExplicitAny: it is data, and each file has a form of its own
type Case = Record<string, any>

function vectors(name: string): { valid: Case[]; invalid: Case[] } {
  return JSON.parse(readFileSync(new URL(`../../vectors/${name}.json`, import.meta.url), 'utf8'))
}

/** Runs a case that must fail. @returns the code of its problem */
async function codeOf(act: () => unknown): Promise<string> {
  try {
    await act()
    return 'nothing was wrong'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
const keyOf = async (one: Case): Promise<ContentKey> =>
  ContentKey.unwrap(one.wrapped, one as never, await AccountKeys.parse(one.receiverSecret))

async function guestOfCase({ secret, index, passphrase }: Case) {
  return guestOf(secret, index, passphrase === null ? null : await passphraseKeyOf(secret, passphrase))
}

function open({ partKey, sealed, ...position }: Case): string {
  const opener = partOpener(bytes(partKey), position as never)
  const plain = opener.update(bytes(sealed).subarray(0, -16))
  opener.finish(bytes(sealed).subarray(-16))
  return plain.toString('hex')
}

describe('valid', () => {
  test.each(vectors('keys').valid)('keys %#', async ({ secret, signing, encryption, fingerprint }) => {
    const keys = await AccountKeys.parse(secret)
    expect(keys.publicKeys).toEqual({ signing, encryption })
    expect(await fingerprintOf(keys.publicKeys)).toBe(fingerprint)
  })

  test.each(vectors('content-keys').valid)('content keys %#', async (one) => {
    const { partKey, contentSalt } = await keyOf(one)
    expect(Buffer.from(partKey).toString('hex')).toBe(one.partKey)
    expect(Buffer.from(contentSalt).toString('hex')).toBe(one.contentSalt)
    // Computed by another library than the vectors.
    const derive = (info: string) =>
      Buffer.from(hkdfSync('sha256', bytes(one.contentKey), bytes(one.transferId.replaceAll('-', '')), info, 32))
    expect(derive('golooader v1 part').toString('hex')).toBe(one.partKey)
    expect(derive('golooader v1 content').toString('hex')).toBe(one.contentSalt)
  })

  test.each(vectors('metadata').valid)('metadata %#', async (one) => {
    const key = await keyOf(one)
    expect(await key.openMetadata(one.sealed)).toEqual(one.metadata)
    expect(await key.sealMetadata(one.metadata)).toBe(one.sealed)
    expect(await sealedDigestOf(one.sealed)).toBe(one.sealedDigest)
    expect(digestOf('sha-256', Buffer.from(one.sealed))).toBe(one.sealedDigest)
  })

  test.each(vectors('parts').valid)('parts %#', (one) => {
    expect(open(one)).toBe(one.plain)
    const sealer = partSealer(bytes(one.partKey), one as never)
    expect(Buffer.concat([sealer.update(bytes(one.plain)), sealer.finish()]).toString('hex')).toBe(one.sealed)
  })

  test.each(vectors('parts').valid)('parts %#, as browsers seal and open them', async (one) => {
    const plain = await openPart(bytes(one.partKey), one as never, bytes(one.sealed))
    expect(Buffer.from(plain).toString('hex')).toBe(one.plain)
    const sealed = await sealPart(bytes(one.partKey), one as never, bytes(one.plain))
    expect(Buffer.from(sealed).toString('hex')).toBe(one.sealed)
  })

  test.each(vectors('layouts').valid)('layouts %#', ({ plain, sealed }) => {
    expect(sealedLayout(plain)).toEqual(sealed)
    expect(openedLayout(sealed)).toEqual(plain)
  })

  test.each(vectors('content-digests').valid)(
    'content digests %#',
    ({ digestAlgorithm, salt, partDigests, contentDigest }) => {
      expect(contentDigestOf(digestAlgorithm, salt === null ? null : bytes(salt), partDigests)).toBe(contentDigest)
    },
  )

  test.each(vectors('manifests').valid)('manifests %#', async ({ token, keys, claims }) => {
    expect(await verifyManifest(token, keys)).toEqual(claims)
    const alice = vectors('keys').valid[0]?.secret
    expect(await signManifest(claims, await AccountKeys.parse(alice))).toBe(token)
  })

  test.each(vectors('receipts').valid)('receipts %#', async ({ token, keys, claims }) => {
    expect(await verifyReceiptToken(token, keys)).toEqual(claims)
    const bob = vectors('keys').valid[1]?.secret
    expect(await signReceipt(claims, await AccountKeys.parse(bob))).toBe(token)
  })
})

describe('links', () => {
  test.each(vectors('guests').valid)('guests %#', async (one) => {
    const guest = await guestOfCase(one)
    const { account, token, tokenHash, privateKeys, signing, encryption } = one
    expect({ ...newGuestOf(guest), token: guest.token, privateKeys: guest.keys.secret }).toEqual({
      ...{ account, token, tokenHash, privateKeys, tokenId: token.slice(4, 20), keys: { signing, encryption } },
    })
    // Computed by another library than the vectors.
    const secret = Buffer.from(one.secret, 'base64url')
    const derive = (from: Uint8Array, info: string, length = 32) =>
      Buffer.from(hkdfSync('sha256', from, '', `golooader v1 guest ${info}`, length))
    const scryptOf = (passphrase: string) =>
      scryptSync(passphrase.normalize('NFKC'), derive(secret, 'passphrase salt'), 32, {
        ...{ N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 },
      })
    const material = one.passphrase === null ? secret : Buffer.concat([secret, scryptOf(one.passphrase)])
    const text = (info: string, length?: number) =>
      derive(material, `${one.index} ${info}`, length).toString('base64url')
    expect(token).toBe(`glt_${text('token id', 12)}_${text('token secret')}`)
    expect(tokenHash).toBe(createHash('sha256').update(token).digest('hex'))
    const raw = Buffer.concat([derive(material, `${one.index} signing`), derive(material, `${one.index} encryption`)])
    expect(privateKeys).toBe(`glk_${raw.toString('base64url')}`)
  })

  test('a passphrase is the same however its letters are written, and another one is another guest', async () => {
    const { secret, passphrase, passphraseKey } = vectors('guests').valid.at(-1) ?? {}
    const decomposed = await passphraseKeyOf(secret, passphrase.normalize('NFD'))
    expect(Buffer.from(decomposed).toString('hex')).toBe(passphraseKey)
    const other = await guestOf(secret, 1, await passphraseKeyOf(secret, `${passphrase} `))
    expect(vectors('guests').valid.map(({ account }) => account)).not.toContain(other.account)
  })

  test.each(vectors('requests').valid)('requests %#', async ({ secret, bearer, bearerHash, label, sealedLabel }) => {
    expect(await requestSecretsOf(secret)).toEqual({ bearer, bearerHash })
    expect(await sealLabel(secret, label)).toBe(sealedLabel)
    expect(await openLabel(secret, sealedLabel)).toBe(label)
    const derived = Buffer.from(
      hkdfSync('sha256', Buffer.from(secret, 'base64url'), '', 'golooader v1 request secret', 32),
    )
    expect(bearer).toBe(`glq_${derived.toString('base64url')}`)
    expect(bearerHash).toBe(createHash('sha256').update(bearer).digest('hex'))
  })

  test.each(vectors('guests').invalid)('no guests: $why', async (one) => {
    expect(await codeOf(() => guestOfCase(one))).toBe(one.code)
  })

  test.each(vectors('requests').invalid)('no label: $why', async ({ secret, sealedLabel, code }) => {
    expect(await codeOf(() => openLabel(secret, sealedLabel))).toBe(code)
  })

  test('a label is as long as it may be, and no longer', async () => {
    const { secret } = vectors('requests').valid[0] ?? {}
    for (const label of ['', '漢'.repeat(160), '🔑'.repeat(80)]) {
      const sealed = await sealLabel(secret, label)
      expect(sealed.length).toBeLessThanOrEqual(1024)
      expect(await openLabel(secret, sealed)).toBe(label)
    }
    expect(await codeOf(() => sealLabel(secret, 'x'.repeat(161)))).toBe('request-invalid')
  })
})

describe('profile exports', () => {
  test.each(vectors('profile-exports').valid)('$passphrase', async ({ passphrase, text, file }) => {
    const all = bytes(file)
    expect(await openProfileExport(all, passphrase)).toBe(text)
    expect(Buffer.from(await sealProfileExport(text, passphrase, all.subarray(27, 43))).toString('hex')).toBe(file)
    // By the words of docs/profiles.md alone.
    const cost = { N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 }
    const key = scryptSync(passphrase.normalize('NFKC'), all.subarray(27, 43), 32, cost)
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12))
    decipher.setAAD(all.subarray(0, 43)).setAuthTag(all.subarray(-16))
    expect(Buffer.concat([decipher.update(all.subarray(43, -16)), decipher.final()]).toString()).toBe(text)
    expect(all.subarray(0, 27).toString()).toBe('golooader profile export 1\n')
  })
  test.each(vectors('profile-exports').invalid)('$why', async ({ passphrase, file, code }) => {
    expect(await codeOf(() => openProfileExport(bytes(file), passphrase))).toBe(code)
  })
})

describe('invalid', () => {
  test.each(vectors('keys').invalid)('keys: $why', async ({ secret }) => {
    await expect(AccountKeys.parse(secret)).rejects.toThrow()
  })
  test.each(vectors('content-keys').invalid)('content keys: $why', async (one) => {
    expect(await codeOf(() => keyOf(one))).toBe(one.code)
  })
  test.each(vectors('metadata').invalid)('metadata: $why', async (one) => {
    const key = await keyOf(one)
    expect(await codeOf(() => key.openMetadata(one.sealed))).toBe(one.code)
  })
  test.each(vectors('parts').invalid)('parts: $why', async (one) => {
    expect(await codeOf(() => open(one))).toBe(one.code)
  })
  test.each(vectors('parts').invalid)('parts, as browsers open them: $why', async (one) => {
    expect(await codeOf(() => openPart(bytes(one.partKey), one as never, bytes(one.sealed)))).toBe(one.code)
  })
  test.each(vectors('layouts').invalid)('layouts: $why', async ({ sealed, code }) => {
    expect(await codeOf(() => openedLayout(sealed))).toBe(code)
  })
  test.each(vectors('manifests').invalid)('manifests: $why', async ({ token, keys, code }) => {
    expect(await codeOf(() => verifyManifest(token, keys))).toBe(code)
  })
  test.each(vectors('receipts').invalid)('receipts: $why', async ({ token, keys, code }) => {
    expect(await codeOf(() => verifyReceiptToken(token, keys))).toBe(code)
  })
})
