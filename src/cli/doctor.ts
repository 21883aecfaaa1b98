import { release } from 'node:os'
import type { Command } from 'commander'
import { NoResponseError, RemoteProblem } from '../client/index.ts'
import { type Finding, ok } from '../library/doctor/finding.ts'
import { exitCodeFor, exitCodes, interruptSignal, UsageError } from './exit.ts'
import {
  type ConnectionFlags,
  connectionOf,
  insecureOption,
  jsonOption,
  option,
  pathOf,
  profileOption,
  systemCaOption,
} from './options.ts'
import { print } from './output.ts'
import { systemErrorText } from './system-errors.ts'
import { printable } from './text.ts'

interface DoctorFlags extends ConnectionFlags {
  readonly profile?: string
  readonly json?: boolean
  readonly into?: string
}

const MARKS = { ok: '✔', note: '…', bad: '✘' } as const

export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .summary('test the connection to a portal and this machine')
    .description(
      'Tests the connection to the portal of a profile, or to any portal without one: streams, uploads, size and time\n' +
        'limits, encodings, clock, TLS, token, folders. It leaves nothing behind, and takes up to a minute.\n' +
        'Its output has no secrets, and belongs in a bug report.',
    )
    .argument('[portal]', 'address of a portal, to try what needs no account; that of the profile if not given')
    .addOption(profileOption())
    .addOption(option('--into <dir>', 'a folder for received files that is to be tried as well').argParser(pathOf))
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader doctor
  golooader doctor --profile work --into ~/Inbox
  golooader doctor https://portal.example
  golooader doctor --json | jq '.findings[] | select(.verdict != "ok")'

Exit codes: 0 files can be sent and received, whatever was noted · 2 wrong usage, or a folder cannot be written ·
4 the portal refuses this account, or its certificate is not trusted · 5 no answer, or no upload gets through`,
    )
    .action(async (portal: string | undefined, flags: DoctorFlags) => {
      process.exitCode = await runDoctor(portal, flags, String(program.version()), interruptSignal())
    })
}

async function runDoctor(
  portal: string | undefined,
  flags: DoctorFlags,
  version: string,
  signal: AbortSignal,
): Promise<number> {
  if (portal !== undefined && flags.profile !== undefined) {
    throw new UsageError('name a portal or a profile, not both: a profile knows its portal')
  }
  const [{ examine }, { tryFolders }] = await Promise.all([
    import('../library/doctor/examination.ts'),
    import('../library/doctor/folders.ts'),
  ])
  const { json: isJson = false, into = null, profile } = flags
  const findings: Shown[] = []
  const show = (finding: Shown): void => {
    findings.push(finding)
    if (!isJson) print(`${MARKS[finding.verdict]} ${finding.check}: ${finding.text}\n`)
  }
  const system = `${process.platform} ${release()} ${process.arch}`
  show(shown(ok('program', `golooader ${version} with Node ${process.version} on ${system}`)))
  for (const finding of await tryFolders(into)) show(shown(finding))
  const { portalUrl, found } = await examine({ portal, profile, connection: connectionOf(flags), signal })
  for await (const finding of found) show(shown(finding))
  // Checks come in the order in which a command meets them.
  const exitCode = findings.find((one) => one.exitCode !== exitCodes.ok)?.exitCode ?? exitCodes.ok
  if (isJson) print(`${JSON.stringify({ portalUrl, findings, exitCode })}\n`)
  return exitCode
}

/** A finding as it is printed. */
interface Shown {
  readonly check: string
  readonly verdict: Finding['verdict']
  readonly text: string
  /** The exit code of a command that fails for this reason. */
  readonly exitCode: number
}

function shown(finding: Finding): Shown {
  const { check, verdict } = finding
  if (verdict !== 'bad') return { check, verdict, text: finding.text, exitCode: exitCodes.ok }
  if ('reason' in finding) {
    const exitCode = finding.reason === 'refused' ? exitCodes.refused : exitCodes.noAnswer
    return { check, verdict, text: finding.text, exitCode }
  }
  const { error } = finding
  if (check !== 'folder') return { check, verdict, text: printable(reasonOf(error)), exitCode: exitCodeFor(error) }
  return { check, verdict, text: printable(systemErrorText(error) ?? String(error)), exitCode: exitCodes.usage }
}

function reasonOf(error: unknown): string {
  if (error instanceof NoResponseError) return `no answer: ${error.message}`
  if (error instanceof RemoteProblem) return `${error.message} (${error.code})`
  return error instanceof Error ? error.message : String(error)
}
