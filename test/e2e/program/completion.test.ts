/** `golooader completion bash`: a real bash completes the command line. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { prepared } from './completion.ts'

const run = promisify(execFile)

test('bash completes commands, options, choices, profiles, files and folders', async () => {
  const { folder, script } = await prepared('bash')
  const complete = async (...words: string[]): Promise<string[]> => {
    const ask = `source "$0" && COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) && _golooader && printf '%s\\n' "\${COMPREPLY[@]}"`
    const env = { PATH: process.env.PATH, HOME: folder, XDG_CONFIG_HOME: join(folder, 'config') }
    const { stdout } = await run('bash', ['-c', ask, script, 'golooader', ...words], { cwd: join(folder, 'work'), env })
    return stdout.split('\n').filter((line) => line !== '')
  }
  expect(await complete('sen')).toEqual(['send'])
  expect(await complete('re')).toEqual(['receive', 'request', 'receipt'])
  expect(await complete('accounts', 're')).toEqual(['revoke'])
  expect(await complete('accounts', 'r')).toEqual(['revoke', 'rotate'])
  expect(await complete('send', '--no')).toEqual(['--no-wait', '--no-times', '--no-system-ca'])
  expect(await complete('send', 'a.pdf', '--to', 'bob', '--ver')).toEqual(['--verbose'])
  expect(await complete('contacts', 'trust', '--p')).toEqual(['--profile'])
  expect(await complete('portal', '--log-level', 'e')).toEqual(['error'])
  expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
  expect((await complete('send', '--profile', 'al')).sort()).toEqual(['alfred', 'alice'])
  expect((await complete('send', 'in')).sort()).toEqual(['in box', 'in doors.pdf'])
  expect(await complete('receive', '--into', 'in')).toEqual(['in box'])
  expect(await complete('send', '--to', 'b')).toEqual([])
  const { stdout } = await run('bash', ['-c', `source ${script} && complete -p golooader`])
  expect(stdout).toBe('complete -F _golooader golooader\n')
})
