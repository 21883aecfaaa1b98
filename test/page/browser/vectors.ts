/** Runs the test vectors of `vectors/` in a browser. */

import { headerOf, parseTimeNs, type TreeEntry, TreeParser } from '../../../src/tree/index.ts'
import { blockBytes, tarEndBytes } from '../../../src/tree/tar-header.ts'
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
  signManifest,
  signReceipt,
  verifyManifest,
  verifyReceiptToken,
} from '../../../src/trust/index.ts'

// biome-ignore lint/suspicious/noExplicitAny: it is data, and each file has a form of its own
type Case = Record<string, any>
export type Vectors = Readonly<Record<string, { readonly valid: readonly Case[]; readonly invalid?: readonly Case[] }>>

const bytes = (hex: string): Uint8Array => Uint8Array.from(hex.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
const hex = (of: Uint8Array): string => Array.from(of, (byte) => byte.toString(16).padStart(2, '0')).join('')

const keyOf = async (one: Case): Promise<ContentKey> =>
  ContentKey.unwrap(one.wrapped, one as never, await AccountKeys.parse(one.receiverSecret))

/** The actual and the expected result of a case. Ed25519 signatures and seals are deterministic. */
const tries: Readonly<Record<string, (one: Case, all: Vectors) => Promise<readonly [unknown, unknown][]>>> = {
  keys: async ({ secret, signing, encryption, fingerprint }) => {
    const { publicKeys } = await AccountKeys.parse(secret)
    return [
      [publicKeys, { signing, encryption }],
      [await fingerprintOf(publicKeys), fingerprint],
    ]
  },
  'content-keys': async (one) => {
    const key = await keyOf(one)
    return [
      [hex(key.partKey), one.partKey],
      [hex(key.contentSalt), one.contentSalt],
    ]
  },
  metadata: async (one) => {
    const key = await keyOf(one)
    return [
      [await key.openMetadata(one.sealed), one.metadata],
      [await key.sealMetadata(one.metadata), one.sealed],
      [await sealedDigestOf(one.sealed), one.sealedDigest],
    ]
  },
  parts: async (one) => [
    [hex(await openPart(bytes(one.partKey), one as never, bytes(one.sealed))), one.plain],
    [hex(await sealPart(bytes(one.partKey), one as never, bytes(one.plain))), one.sealed],
  ],
  layouts: async ({ plain, sealed }) => [
    [openedLayout(sealed), plain],
    [sealedLayout(plain), sealed],
  ],
  'content-digests': async ({ digestAlgorithm, salt, partDigests, contentDigest }) => [
    [contentDigestOf(digestAlgorithm, salt === null ? null : bytes(salt), partDigests), contentDigest],
  ],
  manifests: async ({ token, keys, claims }, all) => [
    [await verifyManifest(token, keys), claims],
    [await signManifest(claims, await AccountKeys.parse(all.keys?.valid[0]?.secret)), token],
  ],
  receipts: async ({ token, keys, claims }, all) => [
    [await verifyReceiptToken(token, keys), claims],
    [await signReceipt(claims, await AccountKeys.parse(all.keys?.valid[1]?.secret)), token],
  ],
  guests: async ({ secret, index, passphrase, account, token, tokenHash, privateKeys, signing, encryption }) => {
    const guest = await guestOf(secret, index, passphrase === null ? null : await passphraseKeyOf(secret, passphrase))
    return [
      [
        { ...guest, keys: guest.keys.secret },
        { account, token, keys: privateKeys },
      ],
      [newGuestOf(guest), { account, tokenId: token.slice(4, 20), tokenHash, keys: { signing, encryption } }],
    ]
  },
  requests: async ({ secret, bearer, bearerHash, label, sealedLabel }) => {
    const opened = await openLabel(secret, sealedLabel)
    return [
      [await requestSecretsOf(secret), { bearer, bearerHash }],
      [await sealLabel(secret, label), sealedLabel],
      [opened, label],
    ]
  },
  'profile-exports': async ({ passphrase, text, file }) => [[await openProfileExport(bytes(file), passphrase), text]],
  trees: async ({ tar, entries = null }) => {
    const read = entriesOf(bytes(tar))
    if (entries === null) return []
    const made = entries.map((entry: Case) => [treeEntryOf(entry), entry.content ?? ''])
    return [
      [read, made.map(([entry]: [TreeEntry]) => shown(entry))],
      [made.map(([entry, content]: [TreeEntry, string]) => hex(headerOf(entry)) + padded(content)).join('') + END, tar],
    ]
  },
}

/** The end of a tar, in hex. */
const END = '00'.repeat(tarEndBytes)
/** Content in hex, up to the next whole block. */
const padded = (content: string): string =>
  content.padEnd(Math.ceil(content.length / 2 / blockBytes) * 2 * blockBytes, '0')
/** JSON has no numbers as large as a time. */
const shown = ({ mtimeNs, ...entry }: TreeEntry): Case => ({ ...entry, mtimeNs: String(mtimeNs) })

function treeEntryOf({ path, kind, content = '', isExecutable = false, mtime, target = null }: Case): TreeEntry {
  return { path, kind, sizeBytes: content.length / 2, mtimeNs: parseTimeNs(mtime) ?? 0n, isExecutable, target }
}

/** The entries of a tar. @throws Problem `tree-invalid` */
function entriesOf(tar: Uint8Array): Case[] {
  const parser = new TreeParser()
  const entries: Case[] = []
  for (const event of parser.push(tar)) if (event.type === 'entry') entries.push(shown(event.entry))
  parser.end()
  return entries
}

/** @returns the differences */
export async function tryVectors(all: Vectors): Promise<{ tried: number; wrong: string[] }> {
  const wrong: string[] = []
  let tried = 0
  for (const [name, { valid, invalid = [] }] of Object.entries(all)) {
    for (const [index, one] of valid.entries()) {
      tried++
      const results = await outcome(async () => {
        const pairs = (await tries[name]?.(one, all)) ?? [['no', 'known vectors']]
        return pairs.filter(([is, should]) => sorted(is) !== sorted(should)).map(([is]) => sorted(is))
      })
      if (results !== '[]') wrong.push(`${name} ${index}: ${results}`)
    }
    for (const { code, why, ...one } of invalid) {
      tried++
      const problem = await outcome(() => tries[name]?.(one, all))
      if (code === undefined ? problem.startsWith('[') : problem !== code) wrong.push(`${name}, ${why}: ${problem}`)
    }
  }
  return { tried, wrong }
}

async function outcome(act: () => unknown): Promise<string> {
  try {
    return JSON.stringify(await act())
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

/** The order of members is irrelevant. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_name, one) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  )
}
