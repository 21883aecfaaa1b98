import { Readable } from 'node:stream'
import { RetryPolicy } from '../client/index.ts'
import { type Connection, FileReceipts, type KnownSelf, stateFolder } from '../profile/index.ts'
import {
  checkOptions,
  listOf,
  nameLengthMax,
  type OptionRule,
  optionsInvalid,
  Problem,
  requireAccountName,
  treeNameEnd,
  withoutUndefined,
} from '../protocol/index.ts'
import type { SendEvent, SendOutcome } from '../sender/index.ts'
import { fifoStream, isFifo, programStream, type StreamInput } from '../sender/node-stream-input.ts'
import type { Contacts } from '../trust/index.ts'
import { type LinkOptions, requireLinkOptions } from './link-options.ts'
import { NO_KEYS, RESPONSE_TIMEOUT_MS_DEFAULT, type UploadOptions, uploadOptionRules } from './upload-options.ts'

export interface SendOptions extends UploadOptions {
  /** The name for the receiver of what has none: a stream, or a FIFO. */
  readonly name?: string
  /** The accounts that receive each file: one, or several. With `link` there may be none. */
  readonly to?: string | readonly string[]
  /** Makes a link by which people without an account receive the file. `{}` makes one for one person. */
  readonly link?: LinkOptions
  /** `delivered`: waits for every receiver. `stored`: waits only for the portal. Default: `delivered`. */
  readonly until?: 'delivered' | 'stored'
  /** Milliseconds to wait for the receivers once a file is stored. Default: as long as it takes. */
  readonly deliveryTimeoutMs?: number
  /** Milliseconds without a response from the portal before a file is given up as `no-answer`. Default: 60 000. */
  readonly responseTimeoutMs?: number
  /** The name of one folder that all paths are sent as, together. Default: each path is a delivery of its own. */
  readonly as?: string
  /** Aborts the call, which then rejects with the signal's reason. The same call later resumes the transfers. */
  readonly signal?: AbortSignal
  /** Called for every step. */
  readonly onEvent?: (event: SendEvent) => void
  /**
   * Awaited with the outcome of each file before this machine forgets its transfer, so that a program can act on it once and for all: after a
   * crash, the same call calls it again. It is called at least once for each of `stored`, and `delivered`, `failed` or `refused`; with the
   * transferId a program notices a repetition. Not for `undelivered` and `no-answer`, after which the transfer can be resumed.
   *
   * When it throws, the call rejects with its error, and the next one resumes the transfer.
   */
  readonly onOutcome?: (outcome: SendOutcome) => void | Promise<void>
}

const optionRules = {
  ...uploadOptionRules,
  name: 'text?',
  to: 'oneOrMore?',
  link: 'object?',
  until: 'text?',
  deliveryTimeoutMs: 'number?',
  responseTimeoutMs: 'number?',
  as: 'text?',
  signal: 'signal?',
  onEvent: 'function?',
  onOutcome: 'function?',
} as const satisfies Record<keyof SendOptions, OptionRule>

/** Paths of files, or content that can be read only once. Text counts as UTF-8. */
export type SendInput = string | readonly string[] | AsyncIterable<Uint8Array | string>

/** Checked options with all defaults filled in. */
export interface CheckedSend extends Omit<SendOptions, 'name' | 'to' | 'signal' | 'exclude'> {
  readonly paths: readonly (string | StreamInput)[]
  readonly to: readonly string[]
  readonly exclude: readonly string[]
  readonly responseTimeoutMs: number
  readonly signal: AbortSignal
}

/** @throws Problem `options-invalid` */
export function sendOptionsOf(input: SendInput, options: SendOptions): CheckedSend {
  checkOptions('send()', options, optionRules)
  const paths = inputsOf(input, options.name)
  const to = listOf(options.to)
  to.forEach(requireAccountName)
  const { until = 'delivered', as, link } = options
  if (to.length === 0 && link === undefined) throw optionsInvalid("send() needs 'to': the name of an account")
  const deliveries = as === undefined ? paths.length : 1
  if (link !== undefined)
    requireLinkOptions(link, { others: new Set(to).size, deliveries, plain: options.plain === true })
  if (as !== undefined && !isFolderName(as)) throw optionsInvalid(`'${as}' cannot be the name of a folder`)
  if (until !== 'delivered' && until !== 'stored') throw optionsInvalid("send() needs 'until': 'delivered' or 'stored'")
  const { responseTimeoutMs = RESPONSE_TIMEOUT_MS_DEFAULT, signal = new AbortController().signal } = options
  const { name: _, ...others } = withoutUndefined(options)
  return { ...others, exclude: listOf(options.exclude), paths, to, responseTimeoutMs, signal }
}

/** One name, without a way to somewhere else, that has room for `.tar` behind it. */
function isFolderName(name: string): boolean {
  const isOneName = name !== '' && name !== '.' && name !== '..' && !/[/\\\0]/.test(name)
  return isOneName && name.length + treeNameEnd.length <= nameLengthMax
}

/** @throws Problem `options-invalid` */
function inputsOf(input: SendInput, name: string | undefined): CheckedSend['paths'] {
  if (typeof input === 'object' && input !== null && Symbol.asyncIterator in input) {
    if (name === undefined) throw optionsInvalid("send() needs 'name' for a stream: the name for the receiver")
    // It would arrive as an empty file.
    if (input instanceof Readable && input.readableEnded) {
      throw optionsInvalid('the stream has ended before send(): give it to send() before anything else reads it')
    }
    return [programStream(input, name)]
  }
  const paths = typeof input === 'string' ? [input] : input
  checkOptions('send()', { paths }, { paths: 'texts' })
  if (name === undefined) return paths
  const [path, ...others] = paths
  if (path === undefined || others.length > 0 || !isFifo(path)) {
    throw optionsInvalid("send() takes 'name' for one stream or one FIFO; a file has a name of its own")
  }
  return [fifoStream(path, name)]
}

export function retryPolicyOf({ responseTimeoutMs, signal }: CheckedSend): RetryPolicy {
  return new RetryPolicy({ answerTimeoutMs: responseTimeoutMs, signal })
}

/** Whose account sends. A guest's contacts know its owner alone. */
export type SendConnection = Pick<Connection, 'client' | 'portalUrl' | 'stateUrl'> & { readonly contacts: Contacts }

/** @throws Problem `profile-unusable` when files are to be sealed and the account has no keys; like `LinkInMaking.guestsFor` */
export async function sendFiles(
  connection: SendConnection,
  self: KnownSelf,
  checked: CheckedSend,
): Promise<SendOutcome[]> {
  const { account, keys } = self
  const {
    until,
    deliveryTimeoutMs,
    responseTimeoutMs,
    plain = false,
    times = true,
    strict = false,
    onEvent = () => {},
    onOutcome = () => {},
    link,
    ...others
  } = checked
  if (keys === null && !plain) throw new Problem('profile-unusable', { detail: NO_KEYS })
  const { client, stateUrl, contacts } = connection
  const { send } = await import('../sender/node.ts')
  const asked = { connection, self, to: others.to, retryPolicy: retryPolicyOf(checked), onEvent }
  const making = link === undefined ? null : new (await import('./send-link.ts')).LinkInMaking({ ...asked, link })
  const outcomes = await send({
    client,
    identity: { portalUrl: stateUrl, account },
    trust: keys === null ? null : { keys, contacts, isSealing: !plain, receipts: new FileReceipts(stateFolder()) },
    stateFolder: stateFolder(),
    answerTimeoutMs: responseTimeoutMs,
    waitMs: deliveryTimeoutMs ?? null,
    isWaiting: until !== 'stored',
    withTimes: times,
    isStrict: strict,
    guestsFor: making?.guestsFor,
    ...others,
    onEvent: (event) => {
      onEvent(event)
      making?.note(event)
    },
    onOutcome: async (outcome) => onOutcome(outcome),
  })
  return making === null ? outcomes : Promise.all(outcomes.map((outcome) => making.settle(outcome)))
}
