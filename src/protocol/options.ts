/**
 * Checks the options of a library call before the call does anything. The error names a member that is missing, misspelt or of the
 * wrong type. TypeScript users see the same mistakes earlier.
 */
import { isAccountName } from './messages.ts'
import { Problem } from './problems.ts'
import { printable } from './text.ts'

type Kind = 'text' | 'texts' | 'oneOrMore' | 'number' | 'flag' | 'function' | 'object' | 'signal'

/** The type of a member. With `?` at the end the member is optional. */
export type OptionRule = `${Kind}${'' | ' or null'}${'' | '?'}`

const kinds: Readonly<Record<Kind, { readonly name: string; readonly fits: (value: unknown) => boolean }>> = {
  text: { name: 'a string', fits: (value) => typeof value === 'string' },
  texts: { name: 'an array of strings', fits: (value) => Array.isArray(value) && value.every(kindIs('text')) },
  oneOrMore: {
    name: 'a string or an array of strings',
    fits: (value) => kindIs('text')(value) || kindIs('texts')(value),
  },
  number: {
    name: 'a number from 0 on',
    fits: (value) => typeof value === 'number' && value >= 0,
  },
  flag: { name: 'true or false', fits: (value) => typeof value === 'boolean' },
  function: { name: 'a function', fits: (value) => typeof value === 'function' },
  object: { name: 'an object', fits: (value) => typeof value === 'object' && value !== null },
  signal: { name: 'an AbortSignal', fits: (value) => value instanceof AbortSignal },
}

function kindIs(kind: Kind): (value: unknown) => boolean {
  return (value) => kinds[kind].fits(value)
}

/**
 * Checks the options of a call, or its arguments by name.
 *
 * @param call the call as a user writes it: `send()`
 * @throws Problem `options-invalid` that names the first member which is missing, unknown or of the wrong type
 */
export function checkOptions(call: string, given: unknown, rules: Readonly<Record<string, OptionRule>>): void {
  if (typeof given !== 'object' || given === null) throw optionsInvalid(`${call} takes an object of options`)
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(rules, name)) {
      const near = nearest(name, Object.keys(rules))
      throw optionsInvalid(`${call} has no option '${name}'${near === null ? '' : `. Did you mean '${near}'?`}`)
    }
  }
  for (const [name, rule] of Object.entries(rules)) {
    const value: unknown = Reflect.get(given, name)
    if (value === undefined && rule.endsWith('?')) continue
    const [kind = ''] = rule.replace('?', '').split(' ')
    const isNullable = rule.includes(' or null')
    if ((isNullable && value === null) || kinds[kind as Kind].fits(value)) continue
    const expected = `${kinds[kind as Kind].name}${isNullable ? ' or null' : ''}`
    throw optionsInvalid(`${call} needs '${name}': ${expected}${value === undefined ? '' : `, not ${typeName(value)}`}`)
  }
}

/** The texts of an option with the rule `oneOrMore`. */
export function listOf(texts: string | readonly string[] | undefined): readonly string[] {
  return typeof texts === 'string' ? [texts] : (texts ?? [])
}

type UndefinedIn<Options> = keyof { [Name in keyof Options as undefined extends Options[Name] ? Name : never]: unknown }
/** Members that may be `undefined` may be left out instead. */
type Defined<Options> = Omit<Options, UndefinedIn<Options>> & {
  [Name in keyof Options & UndefinedIn<Options>]?: Exclude<Options[Name], undefined>
}

/** The options without those that are `undefined`, so that the default is used as for those that are left out. */
export function withoutUndefined<Options extends object>(options: Options): Defined<Options> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<Options>
}

/** @throws Problem `options-invalid` for a text that cannot be the name of an account */
export function requireAccountName(name: string): void {
  if (typeof name !== 'string' || !isAccountName(name)) throw optionsInvalid(notAnAccountName(String(name)))
}

/** Why a text cannot be the name of an account, and what one looks like. */
export function notAnAccountName(text: string): string {
  const form = "use lower-case letters, digits, '.', '-' and '_', 63 at most, the first one a letter or a digit"
  return `'${printable(text)}' cannot be the name of an account: ${form}`
}

/** Validates options of a library caller or a user. */
export function optionsInvalid(detail: string): Problem {
  return new Problem('options-invalid', { detail })
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value)
    ? 'an array'
    : typeof value === 'number'
      ? String(value)
      : `a value of type ${typeof value}`
}

/** A name is suggested for at most one typing mistake per this many letters. */
const LETTERS_PER_SLIP = 3

/** The known name that is most similar; null when none is similar enough. */
function nearest(name: string, known: readonly string[]): string | null {
  const ranked = known
    .map((one) => ({ one, slips: slipsBetween(name.toLowerCase(), one.toLowerCase()) }))
    .sort((a, b) => a.slips - b.slips)
  const [best] = ranked
  return best !== undefined && best.slips * LETTERS_PER_SLIP <= name.length ? best.one : null
}

/** Levenshtein distance. */
function slipsBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
