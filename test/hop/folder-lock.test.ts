/** One process per folder, on each kind of system. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lockAddress, lockFolder } from '../../src/hop/folder-lock.ts'
import { testFolder } from '../suites/folder.ts'

test('a folder is locked until it is released', async () => {
  const folder = await testFolder()
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'folder-unavailable' })
  await lock.release()
  await (await lockFolder(folder)).release()
})

test('each system has its own kind of address', () => {
  expect(lockAddress('/a', 'linux')).toMatch(/^\0golooader\.[0-9a-f]{32}$/)
  expect(lockAddress('/a', 'win32')).toMatch(/^\\\\\.\\pipe\\golooader\.[0-9a-f]{32}$/)
  expect(lockAddress('/a', 'darwin')).toMatch(/\/golooader\.[0-9a-f]{32}$/)
  expect(lockAddress('/a')).not.toBe(lockAddress('/b'))
})

test('with a socket file, a second receiver is kept out', async () => {
  const folder = await testFolder()
  const address = join(folder, 'lock')
  const lock = await lockFolder(folder, address)
  await expect(lockFolder(folder, address)).rejects.toMatchObject({ code: 'folder-unavailable' })
  await lock.release()
})

test('with a socket file, what a killed receiver left behind is in nobody’s way', async () => {
  const folder = await testFolder()
  const address = join(folder, 'lock')
  const script = 'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, "SIGKILL"))'
  await once(spawn(process.execPath, ['-e', script, address]), 'exit')
  expect(existsSync(address)).toBe(true)
  await (await lockFolder(folder, address)).release()
})

test('a failure to lock that means something else is not taken for a lock', async () => {
  await expect(lockFolder('/a', '/nowhere/at/all')).rejects.toMatchObject({ code: expect.stringMatching(/^E/) })
})
