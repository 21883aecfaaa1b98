/** One process holds a folder at a time, even when processes are killed or stand still. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { lockFolder, withFolderLock } from '../../src/fs/index.ts'
import { testFolder } from '../suites/folder.ts'

const lockModule = pathToFileURL(join(import.meta.dirname, '../../src/fs/folder-lock.ts')).href
const script = `
  const { lockFolder } = await import(${JSON.stringify(lockModule)})
  await lockFolder(process.argv[1]).then(() => console.log('locked'), (error) => console.log(error.code))
  if (globalThis.gc) for (let runs = 0; runs < 3; runs++) gc()
  process.stdin.resume().on('end', () => process.exit())
`

/** Another process that takes the lock and keeps it until it is killed. */
async function otherProcess(folder: string) {
  const args = ['--expose-gc', '--input-type=module', '-e', script, folder]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => void child.kill('SIGKILL'))
  const [said] = await once(child.stdout, 'data')
  return { child, said: String(said).trim() }
}

test('a folder is locked until it is released', async () => {
  const folder = await testFolder()
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({
    code: 'folder-unavailable',
    details: { detail: `another process is using ${folder}` },
  })
  await lock.release()
  await lock.release()
  await (await lockFolder(folder)).release()
})

test('another process is kept out, also after a second try of the holder', async () => {
  const folder = await testFolder()
  const lock = await lockFolder(folder)
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'folder-unavailable' })
  expect((await otherProcess(folder)).said).toBe('folder-unavailable')
  await lock.release()
  expect((await otherProcess(folder)).said).toBe('locked')
})

test('the lock of a killed process is free; a live lock is held although nothing refers to it', async () => {
  const folder = await testFolder()
  const { child, said } = await otherProcess(folder)
  expect(said).toBe('locked')
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'folder-unavailable' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await (await lockFolder(folder)).release()
})

test('there is one empty lock file, readable by its owner only, and each folder has its own', async () => {
  const [folder, other] = [await testFolder(), await testFolder()]
  const lock = await lockFolder(folder)
  await (await lockFolder(other)).release()
  expect(await readdir(folder)).toEqual(['lock'])
  const { size, mode } = await stat(join(folder, 'lock'))
  expect([size, mode & 0o777]).toEqual([0, 0o600])
  await lock.release()
  expect(await readdir(folder)).toEqual(['lock'])
})

test('the lock file may lie elsewhere; error messages name the locked folder', async () => {
  const folder = await testFolder()
  await mkdir(join(folder, 'own'))
  const lock = await lockFolder(folder, join(folder, 'own', 'lock'))
  await expect(lockFolder(folder, join(folder, 'own', 'lock'))).rejects.toMatchObject({
    details: { detail: `another process is using ${folder}` },
  })
  expect(await readdir(folder)).toEqual(['own'])
  await lock.release()
})

test('an error that does not mean "locked" is not mistaken for one', async () => {
  const folder = await testFolder()
  await expect(lockFolder(join(folder, 'absent'))).rejects.toMatchObject({ code: 'ENOENT' })
  const detail = 'the lock file in it cannot be locked'
  await mkdir(join(folder, 'lock'))
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'folder-unavailable', details: { detail } })
  await rm(join(folder, 'lock'), { recursive: true })
  await writeFile(join(folder, 'lock'), 'no database '.repeat(100))
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: 'folder-unavailable', details: { detail } })
})

test('several short users in one process each get the lock in turn', async () => {
  const folder = await testFolder()
  const order: number[] = []
  let holders = 0
  const wanted = Array.from({ length: 50 }, (_, number) => number)
  await Promise.all(
    wanted.map((number) =>
      withFolderLock(folder, join(folder, 'lock'), async () => {
        expect(++holders, 'holders at a time').toBe(1)
        await readdir(folder)
        order.push(number)
        holders--
      }),
    ),
  )
  expect(order).toEqual(wanted)
})
