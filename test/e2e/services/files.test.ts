/** The files of services, read by the programs of their systems: systemd-analyze, and a parser of Apple's property lists. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { ServiceDefinition } from '../../../src/cli/service/definition.ts'
import { commandOfPlist, plistText } from '../../../src/cli/service/launchd-plist.ts'
import { commandOfUnit, unitText } from '../../../src/cli/service/systemd-unit.ts'
import { programPath, requireServer } from '../../servers/install.ts'

const args = ['receive', '--into', '/srv/in %n <&> "two" it\'s $HOME \\n', '--from', 'alice']
const service: ServiceDefinition = {
  name: 'nightly',
  program: [process.execPath, '/usr/lib/golooader/bin/golooader.js'],
  args,
  folder: tmpdir(),
  env: { PATH: '/usr/bin:/bin', GOLOOADER_FROM: 'a<b&"c" 100% $x' },
  runsCommands: false,
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'golooader-services-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

/** Settings of newer versions of systemd, which older ones name and ignore. */
const NEWER = /Unknown key (?:name )?'(?:RestartSteps|RestartMaxDelaySec)'/

/** Runs systemd-analyze on a unit. @returns what it prints about the unit */
function analyze(runsCommands: boolean, ...words: string[]): string {
  const folder = temporaryFolder()
  const path = join(folder, 'golooader-nightly.service')
  writeFileSync(path, unitText({ ...service, runsCommands }))
  const { stdout, stderr } = spawnSync(programPath('systemd-analyze'), ['--user', ...words, path], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: folder, XDG_RUNTIME_DIR: folder },
  })
  // Units of this machine are loaded, too.
  const own = stderr.split('\n').filter((line) => line.includes('golooader') && !NEWER.test(line))
  return `${stdout}${own.join('\n')}`
}

test('systemd finds no mistake in a unit', async () => {
  await requireServer('systemd')
  expect(analyze(false, 'verify', '--man=no')).toBe('')
  expect(analyze(true, 'verify', '--man=no')).toBe('')
})

test('a unit is confined as far as a manager without privileges can, and not at all where it runs commands', async () => {
  await requireServer('systemd')
  const exposureOf = (runsCommands: boolean): number =>
    Number(/exposure level .*: ([\d.]+)/.exec(analyze(runsCommands, 'security', '--offline=true', '--no-pager'))?.[1])
  expect(exposureOf(false)).toBeLessThan(7)
  expect(exposureOf(true)).toBeGreaterThan(9)
})

test('a launchd agent is a property list that says the same', async () => {
  await requireServer('python')
  const path = join(temporaryFolder(), 'agent.plist')
  writeFileSync(path, plistText(service, '/Users/bob/Library/Logs/golooader/nightly.log'))
  const program = 'import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], "rb"))))'
  expect(JSON.parse(execFileSync(programPath('python3'), ['-c', program, path], { encoding: 'utf8' }))).toEqual({
    Label: 'dev.golooader.nightly',
    ProgramArguments: [...service.program, ...args],
    WorkingDirectory: service.folder,
    EnvironmentVariables: service.env,
    RunAtLoad: true,
    KeepAlive: true,
    ThrottleInterval: 10,
    ExitTimeOut: 15,
    SoftResourceLimits: { NumberOfFiles: 65536 },
    StandardOutPath: '/Users/bob/Library/Logs/golooader/nightly.log',
    StandardErrorPath: '/Users/bob/Library/Logs/golooader/nightly.log',
  })
})

test('the command line of a service is read back from its file; files of other programs are none', () => {
  const { program, folder } = service
  expect(commandOfUnit(unitText(service))).toEqual({ args, program, folder })
  expect(commandOfPlist(plistText(service, '/log'))).toEqual({ args, program, folder })
  expect(commandOfUnit('[Service]\nExecStart=/bin/true\n')).toBeNull()
  expect(commandOfPlist('<plist version="1.0"><dict/></plist>')).toBeNull()
})
