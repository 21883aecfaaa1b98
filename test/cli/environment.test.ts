/**
 * Every option of every command is also an environment variable. For a flag, only a value that means yes switches it
 * on.
 */
import type { Command, Option } from 'commander'
import { afterEach, describe, expect, test } from 'vitest'
import { commandLine } from '../../src/cli/main.ts'

/** The process is shared with other test files, which have variables of their own. */
const before = new Set(Object.keys(process.env))
afterEach(() => {
  for (const name of Object.keys(process.env)) if (!before.has(name)) delete process.env[name]
})

/** Valid values for operands with a format, by name. */
const operandsOf: Readonly<Record<string, string>> = {
  transfer: '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c',
  request: '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c',
  webhook: '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c',
  url: 'https://files.example',
  fingerprint: 'abcd-efgh-ijkl-mnop-qrst-uvwx',
}

/** Valid values for mandatory options with a format. */
const mandatoryOf: Readonly<Record<string, string>> = { '--database': 'postgres://db.example/ledger' }

interface Case {
  /** The path of the command, for instance `accounts operator`. */
  readonly path: string
  readonly long: string
}

function commandsOf(command: Command, path: readonly string[] = []): { path: string; command: Command }[] {
  return command.commands.flatMap((one) => {
    const its = [...path, one.name()]
    return [{ path: its.join(' '), command: one }, ...commandsOf(one, its)]
  })
}

const all = commandsOf(await commandLine())

function casesOf(isWanted: (option: Option) => boolean): Case[] {
  return all.flatMap(({ path, command }) =>
    command.options.filter(isWanted).map(({ long }) => ({ path, long: long ?? '' })),
  )
}

function variableOf(long: string): string {
  return `GOLOOADER_${long.slice(2).replaceAll('-', '_').toUpperCase()}`
}

/** The value of an option that the action of a command gets, from the environment and further arguments. */
async function told({ path, long }: Case, value: string | null, ...args: string[]): Promise<unknown> {
  const variable = variableOf(long)
  if (value === null) delete process.env[variable]
  else process.env[variable] = value
  const root = await commandLine()
  const command = commandsOf(root).find((one) => one.path === path)?.command
  const option = command?.options.find((one) => one.long === long)
  if (command === undefined || option === undefined) throw new Error(`there is no ${path} ${long}`)
  let options: Record<string, unknown> = {}
  command.configureOutput({ writeErr: () => {} }).action(() => {
    // With the options of its parent, as in `contacts trust`.
    options = command.optsWithGlobals()
  })
  const needed = command.options
    .filter((one) => one.mandatory && one.long !== long)
    .flatMap((one) => [one.long ?? '', mandatoryOf[one.long ?? ''] ?? 'a'])
  const operands = command.registeredArguments
    .filter(({ required }) => required)
    .map((one) => operandsOf[one.name()] ?? 'a')
  root.parse([...path.split(' '), ...operands, ...needed, ...args], { from: 'user' })
  return options[option.attributeName()]
}

const isFlag = (option: Option): boolean => !option.required && !option.optional
/** The variable of this flag has the passphrase itself. */
const hasOwnVariable = ({ long }: Case): boolean => long === '--passphrase'
const flags = casesOf(isFlag).filter((one) => !hasOwnVariable(one))

describe.each(flags)('$path $long', async (flag) => {
  const isOn = !flag.long.startsWith('--no-')
  const off = await told(flag, null)

  test('the argument switches it on, and without argument and variable it is off', async () => {
    expect(await told(flag, null, flag.long)).toBe(isOn)
    expect(off).not.toBe(isOn)
  })

  test.each(['1', 'true', 'yes', 'on', 'YES'])('the variable "%s" switches it on', async (value) => {
    expect(await told(flag, value)).toBe(isOn)
  })

  test.each(['0', 'false', 'no', 'off', '', 'NO', ' '])('the variable "%s" does not switch it on', async (value) => {
    expect(await told(flag, value)).toBe(off)
    expect(await told(flag, value, flag.long), 'the argument wins').toBe(isOn)
  })
})

test.each(casesOf(isFlag).filter(hasOwnVariable))(
  '$path $long: any passphrase in the variable switches it on',
  async (flag) => {
    expect(await told(flag, null)).toBe(undefined)
    expect(await told(flag, '')).toBe(undefined)
    expect(await told(flag, null, flag.long)).toBe(true)
    expect(await told(flag, 'no')).toBe(true)
  },
)

test('the tree of commands has flags of every depth', async () => {
  const names = flags.map(({ path, long }) => `${path} ${long}`)
  for (const one of ['send --no-wait', 'portal --no-page', 'status --received', 'accounts list --json']) {
    expect(names).toContain(one)
  }
})

test.each(casesOf((option) => !isFlag(option)))('$path $long: an empty variable counts as not set', async (option) => {
  // A mandatory option is then missing, as without the variable.
  const outcome = async (value: string | null): Promise<unknown> => {
    try {
      return await told(option, value)
    } catch (error) {
      return error instanceof Error ? error.message : error
    }
  }
  expect(await outcome('')).toEqual(await outcome(null))
})

test('the former name of an option sets the same option; an argument takes precedence over a variable, by either name', async () => {
  const former = { path: 'portal', long: '--one-request' }
  const now = { path: 'portal', long: '--inline-max' }
  expect(await told(now, null)).toBe(262_144)
  expect(await told(now, null, '--one-request', '16KiB')).toBe(16_384)
  expect(await told(former, '8KiB')).toBe(8_192)
  expect(await told(former, '8KiB', '--inline-max', '4KiB')).toBe(4_096)
  delete process.env.GOLOOADER_ONE_REQUEST
  expect(await told(now, '8KiB', '--one-request', '4KiB')).toBe(4_096)
})

test('of the two variables for waiting, the one that disables waiting wins; an argument takes precedence', async () => {
  const send = { path: 'send', long: '--no-wait' }
  process.env.GOLOOADER_TO = 'bob'
  process.env.GOLOOADER_WAIT = '10m'
  expect(await told(send, 'yes')).toBe(false)
  expect(await told(send, 'no')).toBe(600_000)
  expect(await told(send, 'yes', '--wait', '5m')).toBe(300_000)
})
