import { Command } from 'commander'
import { afterEach, expect, test } from 'vitest'
import { flag } from '../../src/cli/options.ts'

afterEach(() => {
  delete process.env.GOLOOADER_NO_PAGE
  delete process.env.GOLOOADER_JSON
})

/** What a command is told, by its arguments and by the environment. */
function told(name: string, args: string[], variable?: [name: string, value: string]) {
  if (variable !== undefined) process.env[variable[0]] = variable[1]
  return new Command().addOption(flag(name, 'x')).parse(args, { from: 'user' }).opts()
}

test.each(['1', 'true', 'yes', 'on'])('a flag is switched on by the variable that says "%s"', (value) => {
  expect(told('--json', [], ['GOLOOADER_JSON', value])).toEqual({ json: true })
})

test.each(['0', 'false', 'no', ''])('a flag is not switched on by the variable that says "%s"', (value) => {
  expect(told('--json', [], ['GOLOOADER_JSON', value])).toEqual({})
})

test('a flag that takes something away does so by argument or variable, and not otherwise', () => {
  expect(told('--no-page', [])).toEqual({ page: true })
  expect(told('--no-page', ['--no-page'])).toEqual({ page: false })
  expect(told('--no-page', [], ['GOLOOADER_NO_PAGE', '0'])).toEqual({ page: true })
  expect(told('--no-page', [], ['GOLOOADER_NO_PAGE', '1'])).toEqual({ page: false })
})
