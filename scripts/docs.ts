/**
 * `npm run docs`: writes the generated parts of the documents from the command line itself. They stand between the lines
 * `<!-- generated: NAME -->` and `<!-- end -->`. A test compares them with what this makes (`test/structure/documents.test.ts`).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, Option } from 'commander'
import { commandLine, filledText } from '../src/cli/main.ts'

const root = join(import.meta.dirname, '..')
export const generatedPages = ['docs/commands.md', 'docs/configuration.md'] as const
const HELP_COLUMNS = 110
/** Options that change nothing that is configured. */
const NOT_SETTINGS = ['--help', '--version']
/** Their options have a table each. */
const OWN_TABLES = ['portal', 'send', 'receive']

/** @returns the page as it should be */
export async function generatedPage(path: (typeof generatedPages)[number]): Promise<string> {
  const program = await commandLine()
  const parts: Readonly<Record<string, string>> = {
    commands: commandsText(program),
    ...Object.fromEntries(OWN_TABLES.map((name) => [name, settingsOf(program, name)])),
    'other commands': otherSettings(program),
  }
  const text = readFileSync(join(root, path), 'utf8')
  return text.replaceAll(/(<!-- generated: (.+) -->\n)[\s\S]*?(<!-- end -->)/g, (_all, head, name, end) => {
    const part = parts[name]
    if (part === undefined) throw new Error(`${path}: nothing is generated as "${name}"`)
    return `${head}\n${part}\n${end}`
  })
}

function leaves(command: Command, path: readonly string[] = []): { path: string; command: Command }[] {
  const own = path.length > 0 ? [{ path: path.join(' '), command }] : []
  // Below it are commands that have their own place.
  if (path.join(' ') === 'service install') return own
  return [...own, ...command.commands.flatMap((one) => leaves(one, [...path, one.name()]))]
}

/** Every command with its own help. */
function commandsText(program: Command): string {
  return leaves(program)
    .map(({ path, command }) => `## golooader ${path}\n\n\`\`\`text\n${helpOf(command)}\n\`\`\`\n`)
    .join('\n')
}

function helpOf(command: Command): string {
  let text = ''
  command.configureOutput({ writeOut: (part) => (text += part), getOutHelpWidth: () => HELP_COLUMNS })
  command.outputHelp()
  return filledText(text.trim(), HELP_COLUMNS)
}

interface Setting {
  readonly flags: string
  readonly variable: string
  readonly fallback: string
  readonly value: string
  readonly meaning: string
}

function settingOf(option: Option): Setting[] {
  if (option.hidden) return []
  const { long, flags, description, envVar, mandatory, defaultValue, defaultValueDescription, argChoices } = option
  if (long === null || long === undefined || option.hidden || NOT_SETTINGS.includes(long)) return []
  // A flag without a value names its variable in its description.
  const [, meaning = '', named] = /^(.*?)(?: \(env: (\w+)(?:=1)?\))?$/s.exec(description) ?? []
  const value = /<([^>]+)>/.exec(flags)?.[1]
  return [
    {
      flags: long,
      variable: envVar ?? named ?? '',
      fallback: mandatory
        ? '(required)'
        : String(defaultValueDescription ?? defaultValue ?? (value === undefined ? 'off' : '')),
      value: value === undefined ? 'on or off' : (argChoices?.join(', ') ?? value),
      meaning,
    },
  ]
}

function settingsOf(program: Command, name: string): string {
  const command = program.commands.find((one) => one.name() === name)
  return table(
    ['flag', 'variable', 'value', 'default', 'meaning'],
    (command?.options.flatMap(settingOf) ?? []).map(cellsOf),
  )
}

/** The options of all other commands; the same one stands there once. */
function otherSettings(program: Command): string {
  const found = new Map<string, { commands: string[]; setting: Setting }>()
  for (const { path, command } of leaves(program)) {
    if (OWN_TABLES.includes(path)) continue
    for (const setting of command.options.flatMap(settingOf)) {
      const key = JSON.stringify(setting)
      const entry = found.get(key) ?? { commands: [], setting }
      entry.commands.push(`\`${path}\``)
      found.set(key, entry)
    }
  }
  const rows = [...found.values()].map(({ commands, setting }) => [commands.join(', '), ...cellsOf(setting)])
  return table(['commands', 'flag', 'variable', 'value', 'default', 'meaning'], rows)
}

function cellsOf({ flags, variable, fallback, value, meaning }: Setting): string[] {
  return [`\`${flags}\``, `\`${variable}\``, value, fallback, meaning]
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return `${[line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')}\n`
}

if (import.meta.main) {
  // What is set here must not change what is written.
  for (const name of Object.keys(process.env)) if (name.startsWith('GOLOOADER_')) delete process.env[name]
  for (const path of generatedPages) writeFileSync(join(root, path), await generatedPage(path))
}
