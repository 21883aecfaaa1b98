/** Names by which programs say that a file is not complete. */
import { expect, test } from 'vitest'
import { isUnfinishedName, wholeNamesOf } from '../../src/outbox/left-alone.ts'

test.each([
  ...[
    '.x.Xy12ab',
    '.~lock.a.odt#',
    'a.txt~',
    '#a.txt#',
    '~$a.docx',
    'a.swp',
    'A.TMP',
    'x.part',
    'x.crdownload',
    'x.aria2',
  ],
  ...['x.!qB', 'THUMBS.DB', 'Desktop.ini', '$RECYCLE.BIN'],
])('%s is left alone', (name) => {
  expect(isUnfinishedName(name)).toBe(true)
})

test.each(['a.txt', 'part', 'x.parts', 'thumbs.db.zip', '#1 report.pdf', 'a~b', 'x!qB', '1RECYCLE.BIN'])(
  '%s is sent',
  (name) => {
    expect(isUnfinishedName(name)).toBe(false)
  },
)

test.each([
  ['disk.iso.part', ['disk.iso']],
  ['disk.Xk3d9aQ1.iso.part', ['disk.Xk3d9aQ1.iso', 'disk.iso']],
  ['disk.Xk3d-_Q1.part', ['disk.Xk3d-_Q1', 'disk']],
  ['film.mkv.aria2', ['film.mkv']],
  ['a.tmp', []],
  ['a.txt', []],
])('%s belongs to %j', (name, whole) => {
  expect(wholeNamesOf(name)).toEqual(whole)
})
