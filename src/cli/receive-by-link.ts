/** `golooader receive LINK`: receives the file of a link, without an account. */
import { relative } from 'node:path'
import { GoLooaderError } from '../library/error.ts'
import { receiveLink, receiveLinkInto } from '../library/receive-link.ts'
import { parseLink } from '../protocol/index.ts'
import { Commands, receiveHandlers } from './exec.ts'
import { printCommands } from './exec-text.ts'
import { exitCodes, InterruptedError, interruptSignal, UsageError } from './exit.ts'
import { connectionOf } from './options.ts'
import { contentOutput, print, traceRequests } from './output.ts'
import { requirePassphrase } from './passphrase.ts'
import { intoStdout, noFileToRunFor, type ReceiveFlags, shower } from './receive.ts'
import { printable } from './text.ts'

const HERE = '.'

/** @returns the exit code */
export async function receiveByLink(link: string, flags: ReceiveFlags): Promise<number> {
  const { into = HERE, toStdout = false, from, transfers } = flags
  if (toStdout && flags.into !== undefined) throw new UsageError('--to-stdout takes no folder: leave --into out')
  if (toStdout && flags.exec !== undefined) throw new UsageError(noFileToRunFor)
  if (from !== undefined || transfers !== undefined) {
    throw new UsageError('a link is for one file of one sender: leave --from and --transfers out')
  }
  const passphrase = await passphraseFor(link, flags)
  const signal = interruptSignal()
  if (flags.verbose === true) await traceRequests(new URL(link.trim()).origin)
  const access = { ...connectionOf(flags), signal, ...(passphrase === null ? {} : { passphrase }) }
  if (toStdout) {
    await intoStdout(flags, (onEvent) => receiveLinkInto(link, contentOutput(), { ...access, onEvent }))
    return Number(process.exitCode ?? exitCodes.ok)
  }
  const show = shower(print, into, flags)
  const commands = Commands.of(flags, printCommands(print, flags.json))
  const codeOf = () => (commands?.hasFailed === true ? exitCodes.commandFailed : exitCodes.ok)
  let hasEnded = false
  try {
    await receiveLink(link, into, {
      ...access,
      times: flags.times !== false,
      ...(commands === null ? {} : receiveHandlers(commands, into, flags)),
      onEvent: (event) => {
        if (event.type === 'refused' || event.type === 'withdrawn') hasEnded = true
        show(event)
      },
    })
    return codeOf()
  } catch (error) {
    if (error instanceof InterruptedError || !(error instanceof GoLooaderError)) throw error
    if (hasEnded) return exitCodes.failed
    if (error.code !== 'link-taken' || typeof error.problem.path !== 'string') throw error
    const { path, takenAt } = error.problem
    if (flags.json === true) print(`${JSON.stringify({ type: 'received-before', path, takenAt })}\n`)
    else print(`✔ received already as ${printable(relative('', path) || path)}\n`)
    return codeOf()
  }
}

/** A link says itself whether it needs a passphrase. */
async function passphraseFor(link: string, flags: ReceiveFlags): Promise<string | null> {
  const parsed = parseLink(link)
  if (parsed?.kind !== 'send' || !parsed.hasPassphrase) return null
  return requirePassphrase(flags, { isNew: false })
}
