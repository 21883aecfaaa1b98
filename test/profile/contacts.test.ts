/** Keys are pinned at the first use, and other keys are refused until a person confirms them. */
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { FileContacts } from '../../src/profile/index.ts'
import { guestNameOf, type PublicKeys } from '../../src/protocol/index.ts'
import { AccountKeys, fingerprintOf } from '../../src/trust/index.ts'

const PORTAL = 'https://portal.test'

async function aPath(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'golooader-contacts-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  return join(folder, 'golooader', 'contacts.json')
}

async function someKeys(): Promise<PublicKeys> {
  return (await AccountKeys.generate()).publicKeys
}

test('the first keys of a contact are stored for later processes; other keys are refused', async () => {
  const path = await aPath()
  const [keys, others] = [await someKeys(), await someKeys()]
  expect(await new FileContacts(path, PORTAL).known('bob')).toBeNull()
  await new FileContacts(path, PORTAL).check('bob', keys)
  const again = new FileContacts(path, PORTAL)
  expect(await again.known('bob')).toEqual(keys)
  await again.check('bob', keys)
  const refused = { code: 'keys-changed', details: { account: 'bob', trusted: await fingerprintOf(keys) } }
  await expect(again.check('bob', others)).rejects.toMatchObject(refused)
  // One changed key of the two is enough.
  await expect(again.check('bob', { ...keys, encryption: others.encryption })).rejects.toMatchObject(refused)
  await expect(again.check('bob', { ...keys, signing: others.signing })).rejects.toMatchObject(refused)
  expect(await again.known('bob')).toEqual(keys)
  expect((await stat(path)).mode & 0o777).toBe(0o600)
})

test('contacts of one portal do not count at another', async () => {
  const path = await aPath()
  await new FileContacts(path, PORTAL).check('bob', await someKeys())
  const elsewhere = new FileContacts(path, 'https://elsewhere.test')
  expect(await elsewhere.known('bob')).toBeNull()
  await elsewhere.check('bob', await someKeys())
  expect(await elsewhere.list()).toHaveLength(1)
})

test('a fingerprint that a person compared counts before the first use, and replaces known keys', async () => {
  const contacts = new FileContacts(await aPath(), PORTAL)
  const [keys, others] = [await someKeys(), await someKeys()]
  await contacts.trust('bob', await fingerprintOf(keys), null)
  expect(await contacts.known('bob')).toBeNull()
  await expect(contacts.check('bob', others)).rejects.toMatchObject({ code: 'keys-changed' })
  await contacts.check('bob', keys)
  expect(await contacts.list()).toMatchObject([{ account: 'bob', by: 'fingerprint' }])
  await contacts.trust('bob', await fingerprintOf(others), others)
  await contacts.check('bob', others)
  await expect(contacts.check('bob', keys)).rejects.toMatchObject({ code: 'keys-changed' })
})

test('of concurrent first uses with different keys one is stored, and the others are refused', async () => {
  const path = await aPath()
  const all = await Promise.all(Array.from({ length: 8 }, someKeys))
  const met = await Promise.allSettled(all.map((keys) => new FileContacts(path, PORTAL).check('bob', keys)))
  expect(met.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  await Promise.all(
    ['ada', 'cy', 'dora'].map(async (name) => new FileContacts(path, PORTAL).check(name, await someKeys())),
  )
  const known = await new FileContacts(path, PORTAL).list()
  expect(known.map(({ account }) => account)).toEqual(['ada', 'bob', 'cy', 'dora'])
})

test('a damaged list trusts no keys, and says so', async () => {
  const path = await aPath()
  await new FileContacts(path, PORTAL).check('bob', await someKeys())
  for (const text of ['', '{', '[]', '{"version":1}', '{"version":1,"contacts":[{"account":"bob"}]}']) {
    await writeFile(path, text)
    const contacts = new FileContacts(path, PORTAL)
    await expect(contacts.check('bob', await someKeys())).rejects.toMatchObject({ code: 'request-invalid' })
  }
})

test('the name of a guest proves its keys: nothing is pinned, and other keys are refused', async () => {
  const contacts = new FileContacts(await aPath(), PORTAL)
  const [keys, others] = [await someKeys(), await someKeys()]
  const guest = guestNameOf(await fingerprintOf(keys))
  expect(await contacts.isPinned(guest)).toBe(true)
  expect(await contacts.check(guest, keys)).toMatchObject({ account: guest, keys })
  const refused = { code: 'keys-changed', details: { account: guest, offered: await fingerprintOf(others) } }
  await expect(contacts.check(guest, others)).rejects.toMatchObject(refused)
  expect(await contacts.list()).toEqual([])
  expect(await contacts.known(guest)).toBeNull()
})
