/** The section "Five minutes" of README.md, command by command. */
import { spawn } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Running } from '../harness/world.ts'
import { root, temporaryFolder } from './checkout.ts'

/** The code blocks of the section, in order: commands, and one block of output. */
function blocks(): { language: string; text: string }[] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const section = /^## Five minutes\n([\s\S]*?)^## /m.exec(readme)?.[1] ?? ''
  return [...section.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }))
}

/** The expected output, as a pattern for what differs each time. */
function patternOf(shown: string): RegExp {
  const literal = shown.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  const open = literal
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '[0-9a-f-]{36}')
    .replace(/\d+(?:\\\.\d+)? (?=s|KiB)/g, '[\\d.]+ ')
  return new RegExp(open)
}

test('the commands of the section "Five minutes" in README.md work', async () => {
  const folder = temporaryFolder()
  for (const name of ['README.md', 'package.json']) copyFileSync(join(root, name), join(folder, name))
  // `npx golooader` is the program of this checkout.
  mkdirSync(join(folder, 'bin'))
  writeFileSync(
    join(folder, 'bin/npx'),
    `#!/bin/sh\nshift\nexec '${process.execPath}' '${join(root, 'bin/golooader.js')}' "$@"\n`,
  )
  chmodSync(join(folder, 'bin/npx'), 0o755)
  const env = {
    PATH: `${join(folder, 'bin')}:${process.env.PATH}`,
    HOME: folder,
    TMPDIR: folder,
    // Another portal may have the port of README.md.
    GOLOOADER_LISTEN: '127.0.0.1:0',
  }
  const type = (command = ''): Running => {
    // In a terminal the running command gets the signals, not the shell.
    const lines = command.trim().split('\n')
    const last = `exec ${lines.pop()}`
    const child = spawn('sh', ['-ec', [...lines, last].join('\n')], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const running = new Running(child)
    onTestFinished(async () => {
      await running.stop('SIGKILL')
    })
    return running
  }

  const [portal, join_, receive, send, shown, breaking, piping, linking, ...rest] = blocks()
  expect(rest).toEqual([])
  await type(portal?.text).line((line) => line.startsWith('portal listening on'))
  for (const command of join_?.text.trim().split('\n') ?? []) {
    const child = spawn('sh', ['-ec', command], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const { code, stdout, stderr } = await new Running(child).ended
    expect(code, `${command}\n${stderr}`).toBe(0)
    expect(stdout).toMatch(/alice|bob/)
  }
  const receiving = type(receive?.text)
  await receiving.line((line) => line.startsWith('connected'))
  const sent = await type(send?.text).ended
  expect(sent.code, sent.stderr).toBe(0)
  expect(sent.stdout).toMatch(patternOf(shown?.text ?? ''))
  expect(readFileSync(join(folder, 'in/README.md'))).toEqual(readFileSync(join(root, 'README.md')))

  const more = await type(breaking?.text).ended
  expect(more.code, more.stderr).toBe(0)
  expect(more.stdout).toMatch(/package\.json.*stored/)
  expect(more.stdout).toMatch(/README\.md/)
  await expect.poll(() => readdirSync(join(folder, 'in')), { timeout: 60_000 }).toContain('package.json')

  await receiving.stop('SIGTERM')
  const piped = await type(piping?.text).ended
  expect(piped.code, piped.stderr).toBe(0)
  expect(piped.stdout.trimEnd().split('\n').at(-1)).toBe('package.json')

  const linked = await type(linking?.text).ended
  expect(linked.code, linked.stderr).toBe(0)
  expect(readFileSync(join(folder, 'from-link/package.json'))).toEqual(readFileSync(join(root, 'package.json')))
})
