/** `golooader completion`: a shell script that completes commands, options and values. It is made from the command line's definition. */
import { Argument, type Command, type Option } from 'commander'
import { print } from './output.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const
type Shell = keyof typeof scripts

export function completionCommand(program: Command): void {
  program
    .command('completion')
    .summary('print a script with which a shell completes commands and options')
    .description(
      'Prints a script with which a shell completes commands, options and their values. It starts no process.',
    )
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(scripts)))
    .addHelpText(
      'after',
      `
Examples:
  source <(golooader completion bash)            for this shell; or this line in ~/.bashrc
  golooader completion bash > ~/.local/share/bash-completion/completions/golooader
  golooader completion zsh > ~/.zfunc/_golooader     a folder of $fpath; zsh runs compinit afterwards
  golooader completion fish > ~/.config/fish/completions/golooader.fish`,
    )
    .action((shell: Shell) => print(scripts[shell](placesOf(program))))
}

/** The possible values of an option or an argument. */
type Values = 'file' | 'folder' | 'profile' | 'any' | readonly string[]

interface Named {
  readonly name: string
  readonly description: string
}

interface CompletedOption extends Named {
  /** Null for an option without a value. */
  readonly values: Values | null
}

/** A command, or the program itself, whose path is empty. */
interface Place {
  readonly path: readonly string[]
  readonly commands: readonly Named[]
  readonly options: readonly CompletedOption[]
  readonly values: Values
}

function placesOf(command: Command, path: readonly string[] = []): Place[] {
  const help = command.createHelp()
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help')
  const own: Place = {
    path,
    commands: commands.map((one) => ({ name: one.name(), description: one.summary() || one.description() })),
    options: help.visibleOptions(command).flatMap(completedOption),
    values: valuesOf(command.registeredArguments[0]?.name() ?? '', command.registeredArguments[0]?.argChoices),
  }
  return [own, ...commands.flatMap((one) => placesOf(one, [...path, one.name()]))]
}

function completedOption({ long, flags, description, argChoices }: Option): CompletedOption[] {
  if (long === null || long === undefined) return []
  const value = /<([^>]+)>/.exec(flags)?.[1]
  const isProfile = long === '--profile'
  return [
    {
      name: long,
      description,
      values: value === undefined ? null : isProfile ? 'profile' : valuesOf(value, argChoices),
    },
  ]
}

function valuesOf(name: string, choices: readonly string[] | undefined): Values {
  if (choices !== undefined) return choices
  if (name === 'file' || name === 'path') return 'file'
  return name === 'dir' ? 'folder' : 'any'
}

/** The values of options, each with its patterns `PATH OPTION`. */
function optionValues(places: readonly Place[]): { patterns: string[]; values: Values }[] {
  const byValues = new Map<string, { patterns: string[]; values: Values }>()
  for (const { path, options } of places) {
    for (const { name, values } of options.filter((one) => one.values !== null)) {
      const key = JSON.stringify(values)
      const group = byValues.get(key) ?? { patterns: [], values: values ?? 'any' }
      group.patterns.push(`${path.join('/')} ${name}`)
      byValues.set(key, group)
    }
  }
  return [...byValues.values()]
}

/** A literal pattern for `case`. */
const patternsOf = (texts: readonly string[]): string => texts.map((text) => `'${text}'`).join(' | ')

/** A quoted word for a shell. Only fish interprets a backslash in it. */
const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`

/** The parts of a script that differ between bash and zsh. */
interface Dialect {
  /** The head of a loop over the words before the one to complete. */
  readonly loop: string
  readonly wordAt: string
  readonly current: string
  readonly previous: string
  readonly reply: (values: Values) => string
  readonly replyNamed: (what: 'option' | 'command', named: readonly Named[]) => string
}

/** The body of a function that finds the command, as `accounts/list`, and completes what comes after an option or in its place. */
function bodyOf(places: readonly Place[], dialect: Dialect): string {
  const { loop, wordAt, current, previous, reply, replyNamed } = dialect
  const paths = places.filter(({ path }) => path.length > 0).map(({ path }) => path.join('/'))
  const afterOptions = optionValues(places).map(
    ({ patterns, values }) => `    (${patternsOf(patterns)}) ${reply(values)}; return ;;`,
  )
  const atPlaces = places.map(
    ({ path, commands, options, values }) => `    ('${path.join('/')}')
      if [[ ${current} == -* ]]; then ${replyNamed('option', options)}
      else ${commands.length > 0 ? replyNamed('command', commands) : reply(values)}; fi ;;`,
  )
  return `  for ((${loop})); do
    case "$at\${at:+/}${wordAt}" in
      ${patternsOf(paths)}) at="$at\${at:+/}${wordAt}" ;;
    esac
  done
  case "$at ${previous}" in
${afterOptions.join('\n')}
  esac
  case "$at" in
${atPlaces.join('\n')}
  esac`
}

const PROFILES = `"\${XDG_CONFIG_HOME:-$HOME/.config}"/golooader/profiles`

function bashScript(places: readonly Place[]): string {
  const reply = (values: Values): string => {
    if (values === 'file') return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current")'
    if (values === 'folder')
      return 'compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current")'
    if (values === 'profile')
      return `COMPREPLY=($(cd ${PROFILES} 2>/dev/null && compgen -G '*.json' | sed 's/\\.json$//'))
      COMPREPLY=($(compgen -W "\${COMPREPLY[*]}" -- "$current"))`
    return values === 'any' ? ':' : `COMPREPLY=($(compgen -W ${quoted(values.join('\n'))} -- "$current"))`
  }
  const body = bodyOf(places, {
    loop: 'i = 1; i < COMP_CWORD; i++',
    wordAt: `\${COMP_WORDS[i]}`,
    current: '$current',
    previous: '$previous',
    reply,
    replyNamed: (_what, named) => reply(named.map(({ name }) => name)),
  })
  return `# Completion of golooader for bash: source <(golooader completion bash)
_golooader() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD - 1]}" at='' i IFS=$'\\n'
  COMPREPLY=()
${body}
}
complete -F _golooader golooader
`
}

function zshScript(places: readonly Place[]): string {
  const reply = (values: Values): string => {
    if (values === 'file') return '_files'
    if (values === 'folder') return '_files -/'
    if (values === 'profile') return `compadd -- ${PROFILES}/*.json(N:t:r)`
    return values === 'any' ? '_message value' : `compadd -- ${values.map(quoted).join(' ')}`
  }
  const body = bodyOf(places, {
    loop: 'i = 2; i < CURRENT; i++',
    wordAt: '$words[i]',
    current: '$words[CURRENT]',
    previous: '$words[CURRENT-1]',
    reply,
    replyNamed: (what, named) => {
      const words = named.map(({ name, description }) => quoted(`${name}:${firstLine(description)}`))
      return `found=(${words.join(' ')}); _describe -t ${what}s ${what} found`
    },
  })
  return `#compdef golooader
# Completion of golooader for zsh: put it into a folder of $fpath as _golooader.
_golooader() {
  local at='' i
  local -a found
${body}
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _golooader "$@"; else compdef _golooader golooader; fi
`
}

function fishScript(places: readonly Place[]): string {
  const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
  const reply = (values: Values): string => {
    if (values === 'file') return '-r -F'
    if (values === 'folder') return "-x -a '(__fish_complete_directories)'"
    if (values === 'profile') return "-x -a '(__golooader_profiles)'"
    return values === 'any' ? '-x' : `-x -a ${fishQuoted(values.join(' '))}`
  }
  const lines = places.flatMap(({ path, commands, options, values }) => {
    const here = `complete -c golooader -n ${fishQuoted(`__golooader_at '${path.join('/')}'`)}`
    return [
      ...commands.map(({ name, description }) => `${here} -a ${name} -d ${fishQuoted(firstLine(description))}`),
      ...options.map(({ name, description, values: own }) =>
        [
          here,
          '-l',
          name.replace(/^--/, ''),
          ...(own === null ? [] : [reply(own)]),
          '-d',
          fishQuoted(firstLine(description)),
        ].join(' '),
      ),
      ...(commands.length === 0 && values !== 'any' ? [`${here} ${reply(values).replace('-r ', '')}`] : []),
    ]
  })
  const paths = places.filter(({ path }) => path.length > 0).map(({ path }) => fishQuoted(path.join('/')))
  return `# Completion of golooader for fish: ~/.config/fish/completions/golooader.fish
function __golooader_at
  set -l at ''
  for word in (commandline -opc)[2..]
    set -l next (string trim -l -c / "$at/$word")
    contains -- $next ${paths.join(' ')}; and set at $next
  end
  test "$at" = "$argv[1]"
end
function __golooader_profiles
  set -q XDG_CONFIG_HOME; and set -l folder $XDG_CONFIG_HOME; or set -l folder $HOME/.config
  for path in $folder/golooader/profiles/*.json
    string replace -r '.*/(.*)\\.json$' '$1' $path
  end
end
complete -c golooader -f
${lines.join('\n')}
`
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}
