import { expect, test } from 'vitest'
import { checkOptions, type OptionRule, withoutUndefined } from '../../src/protocol/index.ts'

const rules = {
  folder: 'text',
  names: 'texts or null',
  limitBytes: 'number?',
  isOnce: 'flag?',
  onEvent: 'function',
} as const satisfies Record<string, OptionRule>
const right = { folder: 'in', names: null, onEvent: () => {} }

test('valid options pass', () => {
  for (const given of [
    right,
    { ...right, names: ['bob'], limitBytes: 0, isOnce: false },
    { ...right, limitBytes: undefined, isOnce: undefined },
    { ...right, limitBytes: Number.POSITIVE_INFINITY },
  ]) {
    checkOptions('call()', given, rules)
  }
})

test.each([
  ['nothing', undefined, 'call() takes an object of options'],
  ['null', null, 'call() takes an object of options'],
  ['a text', 'in', 'call() takes an object of options'],
  ['none', {}, "call() needs 'folder': a string"],
  ['one that is not there', { ...right, folder: undefined }, "call() needs 'folder': a string"],
  ['another type', { ...right, folder: 5 }, "call() needs 'folder': a string, not 5"],
  ['null where it must not be', { ...right, folder: null }, "call() needs 'folder': a string, not null"],
  [
    'a list of another type',
    { ...right, names: [5] },
    "call() needs 'names': an array of strings or null, not an array",
  ],
  ['no number', { ...right, limitBytes: Number.NaN }, "call() needs 'limitBytes': a number from 0 on, not NaN"],
  ['a negative number', { ...right, limitBytes: -1 }, "call() needs 'limitBytes': a number from 0 on, not -1"],
  ['a misspelt one', { ...right, limitByte: 5 }, "call() has no option 'limitByte'. Did you mean 'limitBytes'?"],
  ['an unknown one', { ...right, colour: 'red' }, "call() has no option 'colour'"],
  ['one of every object', { ...right, toString: 'x' }, "call() has no option 'toString'"],
])('%s is reported by name, with a code', (_what, given, detail) => {
  expect(() => checkOptions('call()', given, rules)).toThrow(
    expect.objectContaining({ code: 'options-invalid', details: { detail } }),
  )
})

test('an option that is undefined counts as not given', () => {
  expect(Object.keys(withoutUndefined({ a: undefined, b: null }))).toEqual(['b'])
})
