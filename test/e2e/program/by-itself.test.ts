/** docs/by-itself.md and the section of README.md: their commands, in their order, on two machines with services. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { HookReceiver } from '../../servers/hook-receiver.ts'
import { Machine } from '../../servers/machine.ts'
import { until, World } from '../harness/world.ts'
import { root } from './checkout.ts'

/** There is no session of a user here that could last. */
const NOT_RUN = /^loginctl /

interface Block {
  readonly language: string
  readonly text: string
}

/** The code blocks of a section, in order. @param heading null for the beginning of the page */
function blocksOf(path: string, heading: string | null): Block[] {
  const page = readFileSync(join(root, path), 'utf8')
  const sections = page.split(/^(?=## )/m)
  const section = heading === null ? sections[0] : sections.find((one) => one.startsWith(`## ${heading}\n`))
  if (section === undefined) throw new Error(`${path} has no section "${heading}"`)
  return [...section.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
    language,
    text,
  }))
}

/** @param at its number among those of its language */
function blockOf(path: string, heading: string | null, language: string, at = 0): string {
  const found = blocksOf(path, heading).filter((one) => one.language === language)[at]
  if (found === undefined) throw new Error(`${path}, "${heading}" has no block of ${language}`)
  return found.text
}

interface NamedMachine {
  readonly machine: Machine
  readonly name: string
  /** Runs lines of a shell. @returns what they print */
  readonly type: (text: string) => Promise<string>
}

/** A machine on which `golooader` is the program of this checkout. */
async function machineOf(world: World, name: string): Promise<NamedMachine> {
  const machine = await Machine.start(world, world.path(name))
  const bin = world.path('bin')
  mkdirSync(bin, { recursive: true })
  writeFileSync(
    join(bin, 'golooader'),
    `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'bin/golooader.js')}' "$@"\n`,
  )
  chmodSync(join(bin, 'golooader'), 0o755)
  const type = (text: string): Promise<string> => {
    const lines = text.split('\n').filter((line) => !NOT_RUN.test(line))
    return machine.shell(lines.join('\n'), { PATH: `${bin}:${process.env.PATH}` })
  }
  return { machine, name, type }
}

const PAGE = 'docs/by-itself.md'

test('the commands of the page "Every night, by itself" work on two machines', async () => {
  const world = await World.create()
  await world.portal(['--webhook-networks', '127.0.0.0/8'])
  const [north, south] = [await machineOf(world, 'north'), await machineOf(world, 'south')]
  for (const { machine, type, name } of [north, south]) {
    await type(blockOf(PAGE, null, 'sh').replace('LINK', `'${await machine.invite(name)}'`))
  }
  for (const [{ machine, type }, { name: partner }] of [
    [north, south],
    [south, north],
  ] as const) {
    writeFileSync(machine.path('import.sh'), blockOf(PAGE, 'What comes is imported', 'text'), { mode: 0o755 })
    await type(blockOf(PAGE, null, 'sh', 1).replaceAll('south', partner))
  }
  const services = await north.type('golooader service')
  for (const line of blockOf(PAGE, null, '')
    .split('\n')
    .filter((one) => one.startsWith('  golooader'))) {
    expect(services).toContain(line)
  }

  await north.type(blockOf(PAGE, 'What is put into out/ is sent', 'sh'))
  await until(() => existsSync(north.machine.path('out/sent/report.csv')), 'it is delivered')
  expect(readFileSync(south.machine.path('in/report.csv'), 'utf8')).toBe('a,b,c\n')
  const receipt = north.machine.path('out/sent/report.csv.receipt.json')
  await north.machine.run(0, 'verify', north.machine.path('out/sent/report.csv'), '--receipt', receipt)
  await until(
    () => existsSync(south.machine.path('imported')) && readdirSync(south.machine.path('imported')).length === 1,
    'it is imported',
  )
  await until(
    async () => (await south.machine.run(0, 'logs', 'receive')).stdout.includes('in/report.csv\n'),
    'the log has the output',
  )
  await using hooks = await HookReceiver.start()
  const [add = '', ...others] = blockOf(PAGE, 'Other programs hear of it', 'sh').trimEnd().split('\n')
  const [id = '', secret = ''] = (await north.type(add.replace(/https:\S+/, hooks.url))).split('\n')
  hooks.secret = secret
  const log = await north.type(others.join('\n').replaceAll('ID', id))
  expect(log).toContain('delivered: HTTP status 204')
  await north.type(blockOf(PAGE, 'The line is shared', 'sh'))
  writeFileSync(north.machine.path('large/more.csv'), 'd,e,f\n')
  await until(() => existsSync(north.machine.path('large/sent/more.csv')), 'it is delivered')
  await until(() => hooks.messages.some(({ type }) => type === 'transfer.delivered'), 'it is told')
  // The logs of the page do not end.
  const commands = blockOf(PAGE, 'Services', 'sh').replace(' --follow', '')
  expect(await north.type(commands)).toMatch(/running since[\s\S]*connected, waiting for files/)

  // The import is a part of the delivery.
  writeFileSync(south.machine.path('import.sh'), '#!/bin/sh\necho "line 7 has no date"\nexit 1\n')
  await south.type('golooader service remove receive')
  await south.type('golooader service install receive --into in --exec ./import.sh --exec-before-answer')
  writeFileSync(north.machine.path('out/bad.csv'), 'a,b\n')
  const problem = north.machine.path('out/failed/bad.csv.problem.txt')
  await until(() => existsSync(problem), 'it has failed')
  expect(readFileSync(problem, 'utf8')).toContain('line 7 has no date')
  expect(readdirSync(south.machine.path('in')).sort()).toEqual(['.golooader', 'more.csv', 'report.csv'])
})

test('the commands of the section "Every night, by itself" of README.md work', async () => {
  const world = await World.create()
  await world.portal()
  await world.join(['bob'])
  const { machine, name, type } = await machineOf(world, 'alice')
  await machine.join(name)
  writeFileSync(machine.path('import.sh'), '#!/bin/sh\n', { mode: 0o755 })
  const said = await type(blockOf('README.md', 'Every night, by itself', 'sh'))
  expect(said).toMatch(/✔ receive: running since[\s\S]*✔ watch: running since/)
})
