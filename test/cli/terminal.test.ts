import { expect, test } from 'vitest'
import { canDraw, textFor, widthOf } from '../../src/cli/terminal.ts'

const tty = { isTTY: true, columns: 80 }

test.each([
  ['a terminal', tty, { TERM: 'xterm-256color' }, true],
  ['a terminal without colours', tty, { TERM: 'xterm', NO_COLOR: '1' }, true],
  ['a narrow terminal', { isTTY: true, columns: 20 }, { TERM: 'xterm' }, true],
  ['a dumb terminal', tty, { TERM: 'dumb' }, false],
  ['a terminal of no type', tty, {}, false],
  ['a terminal of an empty type', tty, { TERM: '' }, false],
  ['a terminal that does not say its width', { isTTY: true, columns: 0 }, { TERM: 'xterm' }, false],
  ['a file or a pipe', {}, { TERM: 'xterm' }, false],
])('%s: figures are redrawn in place, or printed as plain lines', (_what, stream, env, isDrawn) => {
  expect(canDraw(stream, env)).toBe(isDrawn)
})

test('the width is that of the terminal, and 80 where it is not known', () => {
  expect([widthOf({ columns: 20 }), widthOf({ columns: 0 }), widthOf({})]).toEqual([20, 80, 80])
})

test.each([
  ['UTF-8', { LANG: 'de_DE.UTF-8' }, '✔ Grün… 🙂'],
  ['utf8, by another variable', { LANG: 'C', LC_CTYPE: 'C.utf8' }, '✔ Grün… 🙂'],
  ['Latin-1', { LANG: 'de_DE.ISO-8859-1' }, '+ Gr\\u00fcn... \\u1f642'],
  ['C, over all others', { LC_ALL: 'C', LANG: 'de_DE.UTF-8' }, '+ Gr\\u00fcn... \\u1f642'],
  ['none', {}, '+ Gr\\u00fcn... \\u1f642'],
])('a terminal whose locale is %s gets only characters that it can show', (_what, env, shown) => {
  expect(textFor(tty, '✔ Grün… 🙂', env)).toBe(shown)
})

test('a file gets UTF-8 in every locale', () => {
  expect(textFor({}, '✔ Grün', { LC_ALL: 'C' })).toBe('✔ Grün')
})
