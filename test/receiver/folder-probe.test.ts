/** Which errors of `link` mean that a file system has no hard links. Mounts in test/mounts give some of them. */
import { expect, test } from 'vitest'
import { isWithoutLinks } from '../../src/fs/index.ts'

function failed(code: string): Error {
  return Object.assign(new Error(code), { code })
}

test.each(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EXDEV', 'EIO', 'EMLINK', 'ERANGE'])('%s means none', (code) => {
  expect(isWithoutLinks(failed(code))).toBe(true)
})

test.each(['EEXIST', 'ENOENT', 'ENAMETOOLONG', 'ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE'])(
  '%s means something else',
  (code) => {
    expect(isWithoutLinks(failed(code))).toBe(false)
  },
)

test('an error without a code means something else', () => {
  expect(isWithoutLinks(new Error('no code'))).toBe(false)
  expect(isWithoutLinks('EPERM')).toBe(false)
})
