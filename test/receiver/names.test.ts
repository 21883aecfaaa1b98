/** What the receiver makes of the names that senders give. */
import { basename, join, resolve } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Problem } from '../../src/protocol/index.ts'
import { numberedName, safeName, sameNamesMax } from '../../src/receiver/names.ts'

describe('a name is kept, or changed visibly', () => {
  test.each([
    ['report.pdf', 'report.pdf'],
    ['Größe 漢字 🎉.txt', 'Größe 漢字 🎉.txt'],
    ['-rf', '-rf'],
    ['archive.tar.gz', 'archive.tar.gz'],
    ['e\u0301.txt', 'é.txt'],
    ['.bashrc', '_bashrc'],
    ['..hidden', '_.hidden'],
    ['\u200b.bashrc', '_.bashrc'],
    ['a\u0000b'.replace('\u0000', '\u0007'), 'a_b'],
    ['line\nbreak', 'line_break'],
    ['\u001b[31mred', '_[31mred'],
    ['\u0085\u009b', '__'],
    ['invoice\u202efdp.exe', 'invoice_fdp.exe'],
    ['a\u2066b\u2069c\u061cd\u200ee\ufefff\u2028g', 'a_b_c_d_e_f_g'],
    ['a<b>c:d"e|f?g*h', 'a_b_c_d_e_f_g_h'],
    ['\ud800lone', '_lone'],
    ['ends with dots...', 'ends with dots___'],
    ['ends with space ', 'ends with space_'],
    ['con', '_con'],
    ['NUL.txt', '_NUL.txt'],
    ['Com1.tar.gz', '_Com1.tar.gz'],
    ['lpt9', '_lpt9'],
    ['console.log', 'console.log'],
    ['com10', 'com10'],
  ])('%j becomes %j', (given, expected) => {
    expect(safeName(given)).toEqual({ name: expected, isChanged: given !== expected })
  })
})

describe('a name that is no name is refused', () => {
  test.each([
    '',
    ' ',
    '\t\n',
    '.',
    '..',
    '../up',
    'a/b',
    '/etc/passwd',
    'a\\b',
    '\\\\server\\share',
    'a\0b',
    'C:',
    'c:evil',
    '.golooader',
    '.golooader-x',
    '.GoLooader',
  ])('%j', (given) => {
    expect(() => safeName(given)).toThrow(Problem)
    expect(() => safeName(given)).toThrow(expect.objectContaining({ code: 'name-refused' }))
  })
})

test('a long name keeps its ending, and is cut between characters', () => {
  const { name } = safeName(`${'é'.repeat(300)}.pdf`)
  expect(name).toMatch(/^é+\.pdf$/)
  expect(Buffer.byteLength(name)).toBe(254)
  expect(safeName('x'.repeat(300)).name).toBe('x'.repeat(255))
  expect(safeName(`x.${'y'.repeat(300)}`).name).toHaveLength(255)
})

test('the same name again gets a number before its ending', () => {
  expect(numberedName('report.pdf', 0)).toBe('report.pdf')
  expect(numberedName('report.pdf', 1)).toBe('report (1).pdf')
  expect(numberedName('README', 12)).toBe('README (12)')
  expect(Buffer.byteLength(numberedName(`${'x'.repeat(251)}.pdf`, sameNamesMax))).toBe(255)
})

test('whatever the sender says, the name is one harmless entry of the folder', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({
      unit: fc.constantFrom('.', ' ', '/', '\\', 'C', ':', '\0', '\u202e', '\ud800', 'é', '🎉', 'x'),
      maxLength: 300,
    }),
  )
  const folder = resolve('/folder')
  fc.assert(
    fc.property(text, fc.integer({ min: 0, max: sameNamesMax }), (given, number) => {
      let name: string
      try {
        name = numberedName(safeName(given).name, number)
      } catch (error) {
        expect(error).toMatchObject({ code: 'name-refused' })
        return
      }
      expect(name).not.toMatch(/[/\\\0]/)
      expect(name).not.toMatch(/^\.|[. ]$/)
      expect(join(folder, name)).toBe(`${folder}/${name}`)
      expect(basename(join(folder, name))).toBe(name)
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255)
      expect(name.isWellFormed()).toBe(true)
      expect(safeName(name)).toEqual({ name, isChanged: false })
    }),
    { numRuns: 2000 },
  )
})
