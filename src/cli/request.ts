import type { Command } from 'commander'
import type { OwnFileRequest } from '../library/file-requests.ts'
import { interruptSignal, UsageError } from './exit.ts'
import {
  durationMs,
  flag,
  insecureOption,
  jsonOption,
  openedProfile,
  option,
  type ProfileFlags,
  positiveSizeBytes,
  profileOption,
  requestId,
  systemCaOption,
  wholeNumber,
} from './options.ts'
import { print, sayError } from './output.ts'
import { bytesText, localTime, printable } from './text.ts'

interface Flags extends ProfileFlags {
  readonly fromAnybody?: boolean
  readonly label?: string
  readonly expiry?: number
  readonly files?: number
  readonly bytes?: number
  readonly json?: boolean
}

export function requestCommand(program: Command): void {
  const request = program
    .command('request')
    .summary('ask for files: print a link by which people without an account send to you')
    .description(
      'Prints a link by which anybody who has it can send you files, sealed for your keys. Without --from-anybody, it lists\n' +
        'your requests. What is sent arrives with everything else: golooader receive.',
    )
    .addOption(flag('--from-anybody', 'make a request, and print its link'))
    .addOption(option('--label <text>', 'what the files are for; only people with the link can read it'))
    .addOption(
      option('--expiry <duration>', 'how long the link works; 7d, or less by the portal, if not given').argParser(
        durationMs,
      ),
    )
    .addOption(option('--files <number>', 'how many files are taken; 100 if not given').argParser(wholeNumber))
    .addOption(
      option('--bytes <size>', 'how much is taken, of all files together; by the portal if not given').argParser(
        positiveSizeBytes,
      ),
    )
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader request --from-anybody --label 'tax papers'          print a link for one person, or for many
  golooader request --from-anybody --files 1 --expiry 2d
  golooader request                                              list your requests with their links
  golooader request close 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c   take no more files

The other side opens the link in a browser, or runs: golooader send FILE --to LINK`,
    )
    .action(async (flags: Flags) => {
      const { fromAnybody = false, label, expiry, files, bytes } = flags
      const isForNew = [label, expiry, files, bytes].some((one) => one !== undefined)
      if (isForNew && !fromAnybody) throw new UsageError('to ask anybody for files, add --from-anybody')
      const signal = interruptSignal()
      await using me = await openedProfile(flags)
      if (!fromAnybody) return showAll(await me.requests({ signal }), flags.json === true)
      showNew(
        await me.request({
          ...(label === undefined ? {} : { label }),
          ...(expiry === undefined ? {} : { expiryMs: expiry }),
          ...(files === undefined ? {} : { filesMax: files }),
          ...(bytes === undefined ? {} : { bytesMax: bytes }),
          signal,
        }),
        flags.json === true,
      )
    })
  request
    .command('close')
    .summary('take no more files by the link of a request')
    .description('Closes a request: its link takes no more files. What the portal has already is still delivered.')
    .argument('<request>', 'id of the request: golooader request', requestId)
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .action(async (id: string, _flags: unknown, command: Command) => {
      const flags: Flags = command.optsWithGlobals()
      await using me = await openedProfile(flags)
      const closed = await me.closeRequest(id, { signal: interruptSignal() })
      print(`closed: its link takes no more files. It took ${closed.files}, ${bytesText(closed.bytes)}\n`)
    })
}

function showNew(request: OwnFileRequest, isJson: boolean): void {
  print(`${isJson ? JSON.stringify(request) : request.link}\n`)
  if (isJson) return
  const { filesMax, bytesMax, expiresAt } = request
  const count = filesMax === 1 ? 'a file' : `${filesMax} files`
  sayError(
    `Anyone who has this link can send you ${count}, ${bytesText(bytesMax)} at most, until ${localTime(expiresAt)}.\n` +
      'See what came: golooader request',
  )
}

function showAll(requests: readonly OwnFileRequest[], isJson: boolean): void {
  if (!isJson && requests.length === 0) print('no requests yet: golooader request --from-anybody\n')
  for (const request of requests) print(isJson ? `${JSON.stringify(request)}\n` : `${requestText(request)}\n`)
}

function requestText({ requestId: id, state, label, link, expiresAt, files, bytes, filesMax }: OwnFileRequest): string {
  const until = state === 'open' ? `open until ${localTime(expiresAt)}` : state
  const about = label === null ? '' : `  ${printable(label)}`
  const shown = state === 'open' && link !== null ? `\n  ${link}` : ''
  return `${id}  ${until}  ${files} of ${filesMax} files, ${bytesText(bytes)}${about}${shown}`
}
