import { relative } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { Patience } from '../client/index.ts'
import { offersOpenMax } from '../protocol/index.ts'
import type { ReceiveEvent } from '../receiver/index.ts'
import { receive } from '../receiver/node-receive.ts'
import { connect, knownSelf } from './connect.ts'
import { exitCodes, interruptSignal } from './exit.ts'
import { accountNames, flag, insecureOption, jsonOption, option, profileOption, wholeNumber } from './options.ts'
import { problemText } from './send-lines.ts'
import { bytesText, printable } from './text.ts'

interface ReceiveFlags {
  readonly into: string
  readonly once?: boolean
  readonly from?: readonly string[]
  readonly profile?: string
  readonly insecure?: boolean
  readonly json?: boolean
  readonly transfers?: number
}

export function receiveCommand(program: Command): void {
  program
    .command('receive')
    .summary('take in the files that are sent to you')
    .description(
      'Takes in what is sent to you, and tells the portal only when a file stands complete, verified and durable\n' +
        'in the folder. Runs until it is stopped; started again, it goes on where it was.',
    )
    .addOption(option('--into <dir>', 'folder for the files; made if it does not exist').makeOptionMandatory())
    .addOption(option('--from <names>', 'take files from these accounts only').argParser(accountNames))
    .addOption(flag('--once', 'take one file, then end'))
    .addOption(profileOption())
    .addOption(option('--transfers <number>', 'files to take in at the same time').argParser(transfersAtOnce))
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader receive --into ~/Inbox            take in whatever comes, until Ctrl-C
  golooader receive --into . --once           wait for one file
  golooader receive --into in --profile bob   as bob, where several accounts have joined

A file that exists is never overwritten: 'report.pdf' becomes 'report (1).pdf'. Unfinished files lie in
DIR/.golooader until they are complete.

Exit codes: 0 stopped, or one file received with --once · 2 wrong usage · 3 --once, and the file was refused ·
4 the portal refused this account, or its certificate is not trusted · 130 interrupted before the one file of --once came`,
    )
    .action(async (flags: ReceiveFlags) => {
      const signal = interruptSignal()
      const connection = await connect(flags.profile, flags)
      const { client, contacts } = connection
      const show = flags.json === true ? showJson : textShower(flags.into)
      try {
        const { account, keys } = await knownSelf(
          connection,
          signal,
          new Patience({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal }),
        )
        const { received, refused } = await receive({
          client,
          trust: keys === null ? null : { account, keys, contacts },
          from: flags.from ?? null,
          folder: flags.into,
          isOnce: flags.once === true,
          signal,
          onEvent: show,
          ...(flags.transfers === undefined ? {} : { transfersAtOnce: flags.transfers }),
        })
        if (flags.once === true && received === 0) {
          process.exitCode = refused > 0 ? exitCodes.failed : exitCodes.interrupted
        }
      } finally {
        await client.close()
      }
    })
}

/** For `argParser`: as many as the portal lets be open at a time. */
function transfersAtOnce(text: string): number {
  const count = wholeNumber(text)
  if (count > offersOpenMax) throw new InvalidArgumentError(`Give a number from 1 to ${offersOpenMax}.`)
  return count
}

function showJson(event: ReceiveEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

/** Lines for people; fetching is told at most every few seconds. */
function textShower(folder: string): (event: ReceiveEvent) => void {
  const FETCHING_EVERY_MS = 5_000
  const toldAtMs = new Map<string, number>()
  const say = (line: string): void => {
    process.stdout.write(`${line}\n`)
  }
  return (event) => {
    if (event.type === 'connected') return say(`connected, waiting for files into ${printable(folder)}`)
    if (event.type === 'disconnected')
      return say(`… the portal is out of reach (${printable(event.reason)}), trying again`)
    const what = `${event.name === '' ? 'a sealed file' : printable(event.name)} from ${event.from}`
    switch (event.type) {
      case 'offered':
        toldAtMs.set(event.transferId, performance.now())
        return say(`… ${event.isResumed ? 'going on with ' : ''}${what}, ${bytesText(event.sizeBytes)}`)
      case 'fetching': {
        if (performance.now() - (toldAtMs.get(event.transferId) ?? 0) < FETCHING_EVERY_MS) return
        toldAtMs.set(event.transferId, performance.now())
        return say(`  ${what}: ${bytesText(event.heldBytes)} of ${bytesText(event.sizeBytes)}`)
      }
      case 'link-failed':
        return say(`  ${what}: not from the portal's storage (${printable(event.reason)}), from the portal instead`)
      case 'repeating':
        return say(`↻ ${what}: ${problemText(event.problem)}. Deleted, asked for again`)
      case 'received': {
        const note = event.isRenamed ? ' (renamed)' : ''
        toldAtMs.delete(event.transferId)
        return say(
          `✔ ${what}${event.signedBy === null ? '' : ', signed'}: received as ${printable(relative('', event.path) || event.path)}${note}`,
        )
      }
      case 'refused':
        toldAtMs.delete(event.transferId)
        return say(`✘ ${what}: refused: ${problemText(event.problem)}. The sender is told`)
      case 'given-up':
        toldAtMs.delete(event.transferId)
        return say(`… ${what}: left for later: ${printable(event.reason)}`)
      case 'withdrawn':
        toldAtMs.delete(event.transferId)
        return say(`✘ ${what}: withdrawn: ${problemText(event.problem)}`)
    }
  }
}
