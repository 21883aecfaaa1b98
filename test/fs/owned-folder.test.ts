import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { OwnedFolder } from '../../src/fs/index.ts'
import { testFolder } from '../suites/folder.ts'

test('what a crash has left of a replaced file is removed by the next process that takes the folder', async () => {
  const path = join(await testFolder(), '.own')
  const take = () => OwnedFolder.take(path, { advice: 'a test' })
  await (await take())[Symbol.asyncDispose]()
  for (const name of ['.0123456789ab.partial', 'kept.partial', '.kept']) writeFileSync(join(path, name), '')
  await using _ = await take()
  expect(
    readdirSync(path)
      .filter((name) => /partial|kept/.test(name))
      .sort(),
  ).toEqual(['.kept', 'kept.partial'])
})
