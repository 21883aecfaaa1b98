import { Command } from 'commander'
import { afterEach, expect, test } from 'vitest'
import { commandLine } from '../../src/cli/main.ts'
import { accountNames, digestNames, flag, listOption, networks } from '../../src/cli/options.ts'

afterEach(() => {
  delete process.env.GOLOOADER_NO_PAGE
  delete process.env.GOLOOADER_JSON
  delete process.env.GOLOOADER_TO
})

/** The options that a command gets from its arguments and the environment. */
function told(name: string, args: string[], variable?: [name: string, value: string]) {
  if (variable !== undefined) process.env[variable[0]] = variable[1]
  return new Command().addOption(flag(name, 'x')).parse(args, { from: 'user' }).opts()
}

test.each(['1', 'true', 'yes', 'on'])('the variable value "%s" switches a flag on', (value) => {
  expect(told('--json', [], ['GOLOOADER_JSON', value])).toEqual({ json: true })
})

test.each(['0', 'false', 'no', ''])('the variable value "%s" does not switch a flag on', (value) => {
  expect(told('--json', [], ['GOLOOADER_JSON', value])).toEqual({})
})

test('a flag that disables something does so by argument or variable only', () => {
  expect(told('--no-page', [])).toEqual({ page: true })
  expect(told('--no-page', ['--no-page'])).toEqual({ page: false })
  expect(told('--no-page', [], ['GOLOOADER_NO_PAGE', '0'])).toEqual({ page: true })
  expect(told('--no-page', [], ['GOLOOADER_NO_PAGE', '1'])).toEqual({ page: false })
})

/** The parsed value of a list option. */
function list(args: string[], parse: (text: string) => string[] = accountNames, variable?: string) {
  if (variable !== undefined) process.env.GOLOOADER_TO = variable
  const option = listOption('--to <names>', 'x', parse).default(['default'])
  return new Command().addOption(option).parse(args, { from: 'user' }).opts().to
}

test('a list that is given more than once has all values, each once', () => {
  expect(list(['--to', 'bob', '--to', 'carol,bob', '--to=dora'])).toEqual(['bob', 'carol', 'dora'])
  expect(list(['--to', 'blake3', '--to', 'sha-256'], digestNames)).toEqual(['blake3', 'sha-256'])
  expect(list(['--to', '10.0.0.0/8', '--to', '::1'], networks)).toEqual(['10.0.0.0/8', '::1'])
})

test('a list on the command line replaces the default and the environment variable', () => {
  expect(list([])).toEqual(['default'])
  expect(list([], accountNames, 'erin,frank')).toEqual(['erin', 'frank'])
  expect(list(['--to', 'bob', '--to', 'carol'], accountNames, 'erin')).toEqual(['bob', 'carol'])
})

test('every option for a list collects the values of several arguments', async () => {
  const lists = (command: Command): string[] => [
    ...command.options
      .filter(({ long, flags }) => /<(?:names|list)>/.test(flags) || long === '--to')
      .flatMap((one) => {
        const text = one.long === '--digests' ? ['blake3', 'sha-256'] : ['10.0.0.1', '10.0.0.2']
        one.parseArg?.(text[0] ?? '', undefined)
        expect(one.parseArg?.(text[1] ?? '', undefined), `${command.name()} ${one.flags}`).toEqual(text)
        return [`${command.name()} ${one.long}`]
      }),
    ...command.commands.flatMap(lists),
  ]
  // `service install` has the same commands once more.
  const found = new Set(lists(await commandLine()))
  expect([...found].sort()).toEqual([
    'portal --digests',
    'portal --trusted-proxies',
    'portal --webhook-networks',
    'receive --from',
    'send --to',
    'watch --to',
  ])
})

test('a variable is a switch for all commands that have its option, or for none', async () => {
  const forms = new Map<string, Set<boolean>>()
  const gather = ({ options, commands }: Command): void => {
    for (const one of options) {
      if (one.negate) continue
      const known = forms.get(one.name()) ?? new Set()
      forms.set(one.name(), known.add(one.isBoolean()))
    }
    commands.forEach(gather)
  }
  gather(await commandLine())
  expect([...forms].filter(([, { size }]) => size > 1).map(([name]) => name)).toEqual([])
})
