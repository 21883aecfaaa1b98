/** The names that the receiver makes from names of senders. */
import { readFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  numberedName,
  Problem,
  printable,
  replaceUnsafe,
  sameNamesMax,
  unsafeCharacters,
  visibleInPlace,
} from '../../src/protocol/index.ts'
import { nameRules, nameVariants, safeName } from '../../src/receiver/names.ts'

describe('a name is kept, or changed visibly', () => {
  test.each([
    ['report.pdf', 'report.pdf'],
    ['Größe 漢字 🎉.txt', 'Größe 漢字 🎉.txt'],
    ['-rf', '_rf'],
    ['--', '_-'],
    ['a-b', 'a-b'],
    // Emoji and scripts that are written with joiners and selectors.
    ['👩\u200d💻.txt', '👩\u200d💻.txt'],
    ['👨🏽\u200d👩\u200d👧.jpg', '👨🏽\u200d👩\u200d👧.jpg'],
    ['🏳\ufe0f\u200d🌈', '🏳\ufe0f\u200d🌈'],
    ['❤\ufe0f 1\ufe0f\u20e3', '❤\ufe0f 1\ufe0f\u20e3'],
    [
      '🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}',
      '🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}',
    ],
    ['می\u200cخواهم.pdf', 'می\u200cخواهم.pdf'],
    ['क्\u200dष', 'क्\u200dष'],
    ['葛\u{e0100}', '葛\u{e0100}'],
    // The same characters where they would only be invisible.
    ['a\u200db', 'a_b'],
    ['💻\u200d.txt', '💻_.txt'],
    ['💻\ufe0f\ufe0f', '💻\ufe0f_'],
    ['1\ufe0f.txt', '1_.txt'],
    ['a\u200cb', 'a_b'],
    ['a\u{e0041}\u{e007f}', 'a__'],
    ['so\u00adft', 'so_ft'],
    ['fill\u3164er\u115f', 'fill_er_'],
    ['a\u034fb\u180ec\u2061d\u2064e', 'a_b_c_d_e'],
    ['x\ufffe\u{1ffff}', 'x__'],
    ['ends blank\u00a0\u3000', 'ends blank__'],
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
    ['CONIN$', '_CONIN$'],
    ['conout$ .txt', '_conout$ .txt'],
    ['clock$', '_clock$'],
    ['COM¹', '_COM¹'],
    ['lpt³.x', '_lpt³.x'],
    ['com0', '_com0'],
    ['conin', 'conin'],
    ['console.log', 'console.log'],
    ['com10', 'com10'],
  ])('%j becomes %j', (given, expected) => {
    expect(safeName(given)).toEqual({ name: expected, isChanged: given !== expected })
  })
})

describe('a name that cannot be used is refused', () => {
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

test('any name of a sender becomes one harmless entry of the folder', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 400 }),
    fc.string({
      unit: fc.constantFrom(
        ...[
          '.',
          ' ',
          '-',
          '/',
          '\\',
          'C',
          ':',
          '\0',
          '\u202e',
          '\ud800',
          'é',
          'x',
          '\u00a0',
          '\u0301',
          'co',
          'm1',
          'nul',
        ],
        ...[
          '🎉',
          '👩',
          '🏽',
          '\u200d',
          '\ufe0f',
          '\u20e3',
          '1',
          '🏴',
          '\u{e0067}',
          '\u{e007f}',
          'क',
          '\u094d',
          '葛',
          '\u{e0100}',
        ],
      ),
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
      expect(name).not.toMatch(/^[.-]|[. ]$/)
      expect(join(folder, name)).toBe(`${folder}/${name}`)
      expect(basename(join(folder, name))).toBe(name)
      expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255)
      expect(name.isWellFormed()).toBe(true)
      expect(safeName(name)).toEqual({ name, isChanged: false })
    }),
    { numRuns: 2000 },
  )
})

test('characters that are written as _ are shown as escapes, and others unchanged', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }), (given) => {
      const text = given.normalize('NFC')
      const unsafe: string[] = []
      replaceUnsafe(text, (character) => {
        unsafe.push(character)
        return '_'
      })
      expect(printable(text) === text).toBe(unsafe.length === 0)
    }),
    { numRuns: 2000 },
  )
  expect(printable('👩\u200d💻 a\u200db')).toBe('👩\u200d💻 a\\u200db')
  expect(printable('\u{e0001}')).toBe('\\ue0001')
})

test('PROTOCOL.md has every class of the table, and every rule, in order', async () => {
  const text = await readFile(new URL('../../PROTOCOL.md', import.meta.url), 'utf8')
  const section = text.slice(text.indexOf('### Names of files'))
  const places = [...unsafeCharacters, ...visibleInPlace, ...nameRules].map(({ name }) =>
    section.indexOf(`| ${name} |`),
  )
  expect(places).not.toContain(-1)
  expect(places).toEqual(places.toSorted((one, other) => one - other))
})

test('where a file system refuses a name, shorter and plainer ones follow, each with the ending', () => {
  expect(nameVariants('report.pdf')).toEqual(['report.pdf'])
  expect(nameVariants('Übersicht.pdf')).toEqual(['Übersicht.pdf', '_bersicht.pdf'])
  const long = `${'é'.repeat(120)}.pdf`
  const variants = nameVariants(long)
  expect(variants).toEqual([
    long,
    `${'é'.repeat(66)}~.pdf`,
    `${'_'.repeat(120)}.pdf`,
    `${'é'.repeat(24)}~.pdf`,
    `${'_'.repeat(49)}~.pdf`,
  ])
  for (const variant of variants.slice(3)) {
    expect(Buffer.byteLength(numberedName(variant, sameNamesMax))).toBeLessThanOrEqual(60)
  }
})
