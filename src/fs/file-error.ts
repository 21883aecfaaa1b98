/** Errors of the file system as sentences for people. */
import { isNoRoom } from './durable.ts'
import { hasCode } from './error-code.ts'

const sentences: readonly (readonly [code: string, sentence: (path: string) => string])[] = [
  ['ENOENT', (path) => `there is no ${path}`],
  ['ENOTDIR', (path) => `there is no ${path}: what should be a folder on the way to it is a file`],
  ['EACCES', (path) => `this user may not use ${path}`],
  ['EPERM', (path) => `this user may not use ${path}`],
  ['EISDIR', (path) => `${path} is a folder`],
  ['ELOOP', (path) => `${path} leads in a circle of links`],
  ['ENAMETOOLONG', () => 'the name is longer than this machine allows'],
  ['EROFS', (path) => `${path} lies on a disk that can only be read`],
  ['EIO', (path) => `the disk reports an error for ${path}`],
  ['ENXIO', (path) => `there is no device behind ${path}`],
]

/**
 * Why a file cannot be used.
 *
 * @param path as it was given
 * @returns the system's own words where there is no better sentence
 */
export function fileErrorText(path: string, error: Error): string {
  if (isNoRoom(error)) return `there is no room left for ${path}`
  const sentence = sentences.find(([code]) => hasCode(error, code))?.[1]
  return sentence === undefined ? `${path}: ${error.message}` : sentence(path)
}
