import fs from 'node:fs'
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { afterAll, describe, expect, test, vi } from 'vitest'
import {
  hasCode,
  isNoRoom,
  makeFolder,
  makeOwnFolder,
  replaceFile,
  setFolderMode,
  syncFolder,
} from '../../src/fs/index.ts'
import { testFolder } from '../suites/folder.ts'

// Syncs of folders show only in the calls of `openSync`. Other test files of this process have loaded the modules before.
const watched = vi.spyOn(fs, 'openSync')
syncBuiltinESMExports()
afterAll(() => {
  watched.mockRestore()
  syncBuiltinESMExports()
})

function failOnce(error: Error): void {
  watched.mockImplementationOnce(() => {
    throw error
  })
}

describe('replacing a file', () => {
  test('creates it, and then replaces all of it, readable by its owner only', async () => {
    const folder = await testFolder()
    const path = join(folder, 'state.json')
    await replaceFile(path, 'a long first text')
    await replaceFile(path, 'short')
    expect(await readFile(path, 'utf8')).toBe('short')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(folder)).toEqual(['state.json'])
  })

  test('with an error leaves the old one, and no temporary file', async () => {
    const folder = await testFolder()
    const path = join(folder, 'state.json')
    await mkdir(path)
    await writeFile(join(path, 'occupied'), '')
    await expect(replaceFile(path, 'text')).rejects.toThrow()
    expect(await readdir(folder)).toEqual(['state.json'])
  })

  test('concurrently leaves one of the texts, complete', async () => {
    const folder = await testFolder()
    const path = join(folder, 'state.json')
    const texts = Array.from({ length: 10 }, (_, i) => String(i).repeat(10_000))
    await Promise.all(texts.map((text) => replaceFile(path, text)))
    expect(texts).toContain(await readFile(path, 'utf8'))
    expect(await readdir(folder)).toEqual(['state.json'])
  })
})

describe('replacing a file only after another step', () => {
  test('shows nothing of the new text before that step', async () => {
    const folder = await testFolder()
    const path = join(folder, 'state.json')
    await replaceFile(path, 'old')
    const { promise: after, resolve } = Promise.withResolvers<void>()
    const replacing = replaceFile(path, 'new', { after })
    // The new text is already written under a temporary name.
    await vi.waitFor(async () => expect(await readdir(folder)).toHaveLength(2), { timeout: 90_000 })
    expect(await readFile(path, 'utf8')).toBe('old')
    resolve()
    await replacing
    expect(await readFile(path, 'utf8')).toBe('new')
    expect(await readdir(folder)).toEqual(['state.json'])
  })

  test('leaves everything unchanged when that step fails', async () => {
    const folder = await testFolder()
    const path = join(folder, 'state.json')
    await replaceFile(path, 'old')
    const after = Promise.reject(new Error('the content was not durable'))
    await expect(replaceFile(path, 'new', { after })).rejects.toThrow('the content was not durable')
    expect(await readFile(path, 'utf8')).toBe('old')
    await vi.waitFor(async () => expect(await readdir(folder)).toEqual(['state.json']), { timeout: 90_000 })
  })
})

describe('making a folder', () => {
  test('creates its parents too, and accepts an existing one', async () => {
    const folder = await testFolder()
    const deep = join(folder, 'a', 'b', 'c')
    await makeFolder(deep)
    await makeFolder(deep)
    expect((await stat(deep)).isDirectory()).toBe(true)
    expect((await stat(deep)).mode & 0o777).toBe(0o700)
  })

  test('syncs the entry of an existing folder: an earlier run may have been killed before the sync', async () => {
    const folder = await testFolder()
    const path = join(folder, 'a')
    await mkdir(path)
    watched.mockClear()
    await makeFolder(path)
    expect(watched.mock.calls).toEqual([[folder, 'r']])
  })

  test('that exists needs no permission to read its parent, and other failures are reported', async () => {
    const path = join(await testFolder(), 'a')
    await mkdir(path)
    failOnce(Object.assign(new Error('denied'), { code: 'EACCES' }))
    await makeFolder(path)
    const other = join(await testFolder(), 'a')
    await mkdir(other)
    failOnce(Object.assign(new Error('broken'), { code: 'EIO' }))
    await expect(makeFolder(other)).rejects.toMatchObject({ code: 'EIO' })
    // A failed sync is repeated.
    watched.mockClear()
    await makeFolder(other)
    expect(watched).toHaveBeenCalledTimes(1)
  })

  test('that was created durably is created again when it is gone, and otherwise left alone', async () => {
    const path = join(await testFolder(), 'a', 'b')
    await makeFolder(path)
    watched.mockClear()
    await makeFolder(path)
    expect(watched).not.toHaveBeenCalled()
    await rm(join(path, '..'), { recursive: true })
    await makeFolder(path)
    expect(watched).toHaveBeenCalledTimes(2)
  })

  test('where a file stands fails', async () => {
    const folder = await testFolder()
    await writeFile(join(folder, 'a'), '')
    await expect(makeFolder(join(folder, 'a', 'b'))).rejects.toThrow()
  })
})

test('syncing a missing folder fails and says so', async () => {
  const folder = await testFolder()
  await syncFolder(folder)
  await expect(syncFolder(join(folder, 'absent'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a full disk and a full quota count as no space; a missing permission does not', () => {
  const withCode = (code: string) => Object.assign(new Error(code), { code })
  expect(['ENOSPC', 'EDQUOT', 'EFBIG'].every((code) => isNoRoom(withCode(code)))).toBe(true)
  expect(['EACCES', 'EIO', 'EROFS'].some((code) => isNoRoom(withCode(code)))).toBe(false)
  expect(hasCode(withCode('ENOENT'), 'EACCES', 'ENOENT')).toBe(true)
  expect(hasCode(new Error('ENOENT'), 'ENOENT')).toBe(false)
  expect(hasCode('ENOENT', 'ENOENT')).toBe(false)
})

describe('a folder of its own', () => {
  test('is created, and found again', async () => {
    const folder = await testFolder()
    for (let time = 1; time <= 2; time++) await makeOwnFolder(join(folder, 'a', 'own'), { withParents: true })
    expect((await stat(join(folder, 'a', 'own'))).mode & 0o777).toBe(0o700)
    await expect(makeOwnFolder(join(folder, 'gone', 'own'), { withParents: false })).rejects.toMatchObject({
      code: 'ENOENT',
    })
  })

  test('is never a link, to a folder or to nothing, nor a file', async () => {
    const [folder, target] = [await testFolder(), await testFolder()]
    await symlink(target, join(folder, 'link'))
    await symlink(join(folder, 'nothing'), join(folder, 'dangling'))
    await writeFile(join(folder, 'file'), '')
    for (const name of ['link', 'dangling', 'file']) {
      await expect(makeOwnFolder(join(folder, name), { withParents: true })).rejects.toMatchObject({
        code: 'folder-unavailable',
      })
      await expect(setFolderMode(join(folder, name), 0o711)).rejects.toThrow(/ELOOP|ENOTDIR|ENOENT/)
    }
    expect((await stat(target)).mode & 0o777).toBe(0o700)
  })
})
