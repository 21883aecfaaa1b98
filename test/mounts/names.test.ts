/** The receiver gets files with names that the file system refuses. */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newTransferId } from '../../src/protocol/index.ts'
import { inboxFolderName } from '../../src/receiver/names.ts'
import { openInbox } from '../../src/receiver/node-inbox.ts'
import { mount, whyNot } from './mounts.ts'

test('a name that is too long for an encrypting file system is shortened, keeps its ending, and is numbered', async () => {
  const reason = whyNot('encfs')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mount('encfs')
  await using inbox = await openInbox(mounted.folder, { mayCreate: true })
  const [long, letters] = [`${'x'.repeat(236)}.pdf`, `${'ä'.repeat(110)}.tar.gz`]
  await expect(writeFile(join(mounted.folder, long), '')).rejects.toMatchObject({ code: 'ENAMETOOLONG' })
  const expected = new Map<string, string>()
  const cut = `${'x'.repeat(132)}~`
  for (const [name, short] of [
    [long, `${cut}.pdf`],
    [long, `${cut} (1).pdf`],
    [letters, `${'ä'.repeat(66)}~.gz`],
  ] as const) {
    const transferId = newTransferId()
    const text = randomBytes(9).toString('hex')
    await writeFile(inbox.pathsOf(transferId).partial, text)
    const claims = { manifestDigest: 'ab'.repeat(32), receipt: null }
    expect(await inbox.commit(transferId, name, claims)).toMatchObject({ name: short })
    expected.set(short, text)
  }
  const found = (await readdir(mounted.folder)).filter((name) => name !== inboxFolderName)
  expect(found.sort()).toEqual([...expected.keys()].sort())
  for (const [name, text] of expected) expect(await readFile(join(mounted.folder, name), 'utf8')).toBe(text)
})
