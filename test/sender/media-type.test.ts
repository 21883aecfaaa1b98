import mime from 'mime'
import { expect, test } from 'vitest'
import { typeByExtension } from '../../src/sender/node-media-type.ts'

const types = ['text/plain', 'image/png', 'application/zip', 'video/mp4', 'application/vnd.ms-excel']
const extensions = types.flatMap((type) => [...(mime.getAllExtensions(type) ?? [])])

test('a name has the media type that the package of media types gives it', () => {
  const names = extensions.flatMap((extension) => [`a.${extension}`, `A.B.${extension.toUpperCase()}`, `.${extension}`])
  for (const name of [
    ...names,
    'png',
    'a',
    'a.',
    'a.unknown',
    '',
    '.',
    'a\\b.txt',
    'x\\png',
    '__proto__',
    'a.constructor',
  ]) {
    expect([name, typeByExtension(name)]).toEqual([name, mime.getType(name)])
  }
})
