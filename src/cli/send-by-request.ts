/** `golooader send FILE --to LINK`: sends by the link of a request for files, without an account. */
import { openRequest } from '../library/request-visit.ts'
import { connectionOf } from './options.ts'
import { output, traceRequests } from './output.ts'
import { runSend, type SendFlags, sendOptions } from './send.ts'
import { chooseView } from './send-view.ts'
import { printable } from './text.ts'

/** @returns the exit code */
export async function sendByRequest(
  link: string,
  paths: readonly string[],
  flags: SendFlags,
  signal: AbortSignal,
): Promise<number> {
  await using visit = await openRequest(link, { ...connectionOf(flags), signal })
  if (flags.verbose === true) await traceRequests(new URL(link).origin)
  const { account } = visit.owner
  if (flags.json !== true) {
    output().line(`${account} asks for files${visit.label === null ? '' : `: ${printable(visit.label)}`}`)
  }
  const { stream } = output()
  const viewOutput = { stream, line: (text: string) => output().line(text), hasAccount: false }
  const view = await chooseView(viewOutput, flags.json === true, flags.verbose === true, paths)
  const { to: _to, plain: _plain, ...given } = sendOptions(flags)
  return runSend(visit, paths, { ...given, signal }, view, { ...flags, to: [account] })
}
