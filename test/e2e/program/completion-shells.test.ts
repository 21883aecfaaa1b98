/** `golooader completion fish` and `zsh`, in real shells. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { programPath, requireServer } from '../../servers/install.ts'
import { prepared } from './completion.ts'

const run = promisify(execFile)

test('fish completes commands, options, choices, profiles, files and folders', async () => {
  await requireServer('fish')
  const { folder, script } = await prepared('fish')
  const env = { PATH: process.env.PATH, HOME: folder, XDG_CONFIG_HOME: join(folder, 'config') }
  const complete = async (line: string): Promise<string[]> => {
    const args = ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script, line]
    const { stdout } = await run(programPath('fish'), args, { cwd: join(folder, 'work'), env })
    return stdout.split('\n').flatMap((found) => (found === '' ? [] : [found.split('\t')[0] ?? '']))
  }
  expect(await complete('golooader sen')).toEqual(['send'])
  expect(await complete('golooader accounts r')).toEqual(['revoke', 'rotate'])
  expect(await complete('golooader send a.pdf --to bob --ver')).toEqual(['--verbose'])
  expect(await complete('golooader portal --log-level e')).toEqual(['error'])
  expect(await complete('golooader send --profile al')).toEqual(['alfred', 'alice'])
  expect(await complete('golooader receive --into in')).toEqual(['in box/'])
  expect(await complete('golooader send in')).toEqual(['in box/', 'in doors.pdf'])
})

test('zsh accepts the script as a completion', async () => {
  await requireServer('zsh')
  const { script } = await prepared('zsh')
  const ask = 'autoload -Uz compinit && compinit -D -u && source "$1" && print -r -- $_comps[golooader]'
  const { stdout } = await run(programPath('zsh'), ['-f', '-c', ask, 'zsh', script])
  expect(stdout).toBe('_golooader\n')
})
