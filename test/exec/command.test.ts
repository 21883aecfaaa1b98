/** Commands are real processes, and so are what they start. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { never } from '../../src/async/index.ts'
import { commandText } from '../../src/cli/exec-text.ts'
import { type CommandOptions, runCommand } from '../../src/exec/index.ts'
import { OutputTail } from '../../src/exec/output-tail.ts'
import { processIdentity } from '../../src/fs/index.ts'
import { isAlive } from '../e2e/exec/scene.ts'
import { until } from '../e2e/harness/world.ts'
import { testFolder } from '../suites/folder.ts'

const LONG_MS = 600_000

function run(command: string, options: Partial<CommandOptions> = {}) {
  return runCommand({
    ...{ command, variables: {}, event: { event: 'received' }, timeoutMs: LONG_MS, signal: never, notePath: null },
    ...options,
  })
}

test('a command gets its event on standard input, its variables, and no option of this program', async () => {
  process.env.GOLOOADER_INTO = 'elsewhere'
  process.env.GOLOOADER_PROFILE = 'bob'
  try {
    const { exitCode, lastLines } = await run('cat; env | grep -E "^GOLOOADER_(EXEC|INTO|PROFILE)" | sort', {
      event: { name: 'a "b"\n$(c)' },
      variables: { NAME: 'a\0b' },
    })
    expect(exitCode).toBe(0)
    expect(lastLines).toEqual(['{"name":"a \\"b\\"\\n$(c)"}', 'GOLOOADER_EXEC_NAME=a\ufffdb', 'GOLOOADER_PROFILE=bob'])
  } finally {
    delete process.env.GOLOOADER_INTO
    delete process.env.GOLOOADER_PROFILE
  }
})

test('a value that is too long for a variable is cut, and whole on standard input', async () => {
  const reasons = 'x'.repeat(300_000)
  const command = 'printf %s "$GOLOOADER_EXEC_PROBLEM" | wc -c; wc -c'
  const { lastLines } = await run(command, { event: { reasons }, variables: { PROBLEM: reasons } })
  expect(lastLines.map(Number)).toEqual([65_536, JSON.stringify({ reasons }).length + 1])
})

test('exit codes, signals and commands that are not there are told apart', async () => {
  expect(await run('exit 3')).toMatchObject({ exitCode: 3, signal: null, isTimedOut: false })
  expect(await run('kill -9 $$')).toMatchObject({ exitCode: null, signal: 'SIGKILL', isTimedOut: false })
  const { exitCode, lastLines } = await run('/no/such/program')
  expect(exitCode).toBe(127)
  expect(lastLines.join()).toContain('/no/such/program')
})

test('a command that is told to stop and succeeds has succeeded; any other one throws the reason of the signal', async () => {
  const folder = await testFolder()
  const started = async (command: string) => {
    const stop = new AbortController()
    const ready = join(folder, 'ready')
    const running = run(`${command}; touch '${ready}'; while :; do sleep 0.02; done`, { signal: stop.signal })
    while (!existsSync(ready)) await new Promise((resolve) => setTimeout(resolve, 10))
    stop.abort(new Error('stopped'))
    return running
  }
  expect(await started("trap 'exit 0' TERM")).toMatchObject({ exitCode: 0 })
  await expect(started(':')).rejects.toThrow('stopped')
  await expect(run('true', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before')
})

test('the note says which process runs, and is gone afterwards; a note of another process ends nothing', async () => {
  const notePath = join(await testFolder(), 'running')
  const own = processIdentity()
  // The same number, at another time: that process has ended.
  writeFileSync(notePath, JSON.stringify({ ...own, startTicks: '1' }))
  const { lastLines } = await run(`sleep 0.3; cat '${notePath}'`, { notePath })
  expect(JSON.parse(lastLines.join())).toMatchObject({ space: own?.space })
  expect(existsSync(notePath)).toBe(false)
  writeFileSync(notePath, '')
  expect(await run('true', { notePath })).toMatchObject({ exitCode: 0 })
})

/** Runs a program that imports `runCommand`, and has `options` for it. */
function runProgram(folder: string, program: string): { readonly signal: NodeJS.Signals | null } {
  const source = join(import.meta.dirname, '..', '..', 'src', 'exec', 'index.ts')
  const script = `
    import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    import { runCommand } from ${JSON.stringify(source)}
    const options = { variables: {}, event: {}, timeoutMs: 1e6, signal: new AbortController().signal, notePath: null }
    ${program}`
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder })
}

function pidIn(folder: string): number {
  return Number(readFileSync(join(folder, 'pid'), 'utf8'))
}

test('a process that ends takes its command with it', async () => {
  const folder = await testFolder()
  runProgram(
    folder,
    `void runCommand({ ...options, command: 'echo $$ > pid; sleep 1000' })
    setInterval(() => fs.existsSync('pid') && fs.readFileSync('pid', 'utf8') !== '' && process.exit(), 20)`,
  )
  await until(() => !isAlive(pidIn(folder)), 'the command has ended')
})

test('a command of which a killed process has no note never began, so it does not run beside its repetition', async () => {
  const folder = await testFolder()
  const { signal } = runProgram(
    folder,
    `const write = fs.writeFileSync
    fs.writeFileSync = (path, text) => {
      write('pid', String(JSON.parse(text).pid))
      process.kill(process.pid, 'SIGKILL')
    }
    syncBuiltinESMExports()
    void runCommand({ ...options, command: 'touch begun', notePath: 'running' })`,
  )
  expect(signal).toBe('SIGKILL')
  await until(() => !isAlive(pidIn(folder)), 'its shell has ended')
  expect(existsSync(join(folder, 'begun'))).toBe(false)
})

test('of the output the last lines are kept, whole characters, and safe for a terminal', () => {
  const tail = new OutputTail()
  for (let number = 1; number <= 3000; number++) tail.add(Buffer.from(`${number} é\u{1F600}\n`))
  expect(tail.lines).toEqual(Array.from({ length: 20 }, (_, index) => `${2981 + index} é\u{1F600}`))
  const long = new OutputTail()
  long.add(Buffer.from('é'.repeat(5000)))
  expect(long.lines).toEqual(['é'.repeat(2048)])
  const odd = new OutputTail()
  for (const byte of Buffer.from('a\r\nb\tc\u001b[2J\n\n')) odd.add(Buffer.from([byte]))
  expect(odd.lines).toEqual(['a', 'b c\\u001b[2J'])
})

test('a person reads once how long a command ran that its time limit has ended', async () => {
  const end = await run('exec sleep 1000', { timeoutMs: 100 })
  const text = commandText({ ...end, type: 'command', event: 'received', transferId: null, name: 'a' }, 'a')
  expect(text).toMatch(/^! a: command: ended after [\d.]+ s, by its time limit$/)
})
