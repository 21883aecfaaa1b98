import { RetryPolicy } from '../client/index.ts'
import type { StoredFile, WatchEvent, WatchedFile } from '../outbox/index.ts'
import { type Connection, FileReceipts, type KnownSelf, stateFolder } from '../profile/index.ts'
import {
  checkOptions,
  listOf,
  type OptionRule,
  optionsInvalid,
  Problem,
  requireAccountName,
} from '../protocol/index.ts'
import { asLibraryError } from './error.ts'
import { iterationOf } from './iteration.ts'
import { NO_KEYS, RESPONSE_TIMEOUT_MS_DEFAULT, type UploadOptions, uploadOptionRules } from './upload-options.ts'
import { verifyReceipt } from './verify-receipt.ts'

export interface WatchOptions extends UploadOptions {
  /** The accounts that receive each file: one, or several. */
  readonly to: string | readonly string[]
  /** Milliseconds for which a file has to stay as it is to count as complete, unless it was renamed into place. Default: 2 000. */
  readonly settleMs?: number
  /** Milliseconds between looks at a folder of which the system reports no changes. Default: 10 000. */
  readonly pollMs?: number
  /** Makes the folder if it is missing. Default: false, so that an unmounted disk is noticed. */
  readonly create?: boolean
  /** Deletes what was delivered, in place of moving it to `sent`. Default: false. */
  readonly delete?: boolean
  /** Ends when what is in the folder was sent. Default: false. */
  readonly once?: boolean
  /** With `once`: milliseconds to wait for the receivers. The next run continues. Default: as long as it takes. */
  readonly deliveryTimeoutMs?: number
  /** With `once`: milliseconds without a response from the portal before the call fails. Default: 60 000. */
  readonly responseTimeoutMs?: number
  /** Patterns of what is not sent, in the folder and in folders in it, as in gitignore(5). Default: none. */
  readonly exclude?: string | readonly string[]
  /** Moves folders with something that cannot be sent to `failed`, instead of leaving that out. Default: false. */
  readonly strict?: boolean
  /** Ends the iteration. */
  readonly signal?: AbortSignal
  /** Called for every step. */
  readonly onEvent?: (event: WatchEvent) => void
  /**
   * Awaited once a file is stored, and once it lies in its place, before this machine forgets it. After a crash it is called again: at least
   * once for each. When it throws, the iteration rejects with its error, and the next one calls it again.
   */
  readonly onOutcome?: (file: WatchedFile | StoredFile) => void | Promise<void>
}

const optionRules = {
  ...uploadOptionRules,
  to: 'oneOrMore',
  settleMs: 'number?',
  pollMs: 'number?',
  create: 'flag?',
  delete: 'flag?',
  once: 'flag?',
  deliveryTimeoutMs: 'number?',
  responseTimeoutMs: 'number?',
  signal: 'signal?',
  onEvent: 'function?',
  onOutcome: 'function?',
} as const satisfies Record<keyof WatchOptions, OptionRule>

const SETTLE_MS_DEFAULT = 2_000
const POLL_MS_DEFAULT = 10_000

/** @throws GoLooaderError `options-invalid` */
export function requireWatchOptions(folder: string, options: WatchOptions): void {
  try {
    checkOptions('watch()', { folder }, { folder: 'text' })
    checkOptions('watch()', options, optionRules)
    const to = listOf(options.to)
    if (to.length === 0) throw optionsInvalid("watch() needs 'to': the name of an account")
    to.forEach(requireAccountName)
    const { once = false, deliveryTimeoutMs, responseTimeoutMs, pollMs = POLL_MS_DEFAULT } = options
    if (!once && (deliveryTimeoutMs !== undefined || responseTimeoutMs !== undefined)) {
      throw optionsInvalid("watch() without 'once' waits as long as it takes: leave the timeouts out")
    }
    if (pollMs === 0) throw optionsInvalid("watch() needs 'pollMs': a number above 0")
  } catch (error) {
    throw asLibraryError(error)
  }
}

/** The files that are put into a folder, each once its transfer has ended. */
export function filesFrom(
  { client, contacts, stateUrl }: Connection,
  folder: string,
  options: WatchOptions,
  selfOf: (signal: AbortSignal, retryPolicy: RetryPolicy) => Promise<KnownSelf>,
): AsyncGenerator<WatchedFile, void, undefined> {
  const { once = false, plain = false, times = true, strict = false } = options
  const { onEvent = () => {}, onOutcome = () => {}, partSizeBytes, partsInFlight } = options
  const answerTimeoutMs = once ? (options.responseTimeoutMs ?? RESPONSE_TIMEOUT_MS_DEFAULT) : Number.POSITIVE_INFINITY
  return iterationOf(options.signal, async (give, signal) => {
    const { watchFolder } = await import('../outbox/index.ts')
    const { account, keys } = await selfOf(signal, new RetryPolicy({ answerTimeoutMs, signal }))
    if (keys === null && !plain) throw new Problem('profile-unusable', { detail: NO_KEYS })
    const { adoptedJournals } = await import('./profiles/import-records.ts')
    await watchFolder({
      ...{ client, folder, answerTimeoutMs, signal, stateFolder: stateFolder() },
      identity: { portalUrl: stateUrl, account },
      adoptedJournals: await adoptedJournals(stateUrl, account),
      trust: keys === null ? null : { keys, contacts, isSealing: !plain, receipts: new FileReceipts(stateFolder()) },
      how: {
        to: [...new Set(listOf(options.to))].sort(),
        isSealed: !plain,
        withTimes: times,
        exclude: [...listOf(options.exclude)],
        isStrict: strict,
      },
      settleMs: options.settleMs ?? SETTLE_MS_DEFAULT,
      pollMs: options.pollMs ?? POLL_MS_DEFAULT,
      mayCreate: options.create === true,
      isOnce: once,
      isDeleting: options.delete === true,
      waitMs: options.deliveryTimeoutMs ?? null,
      ...(partSizeBytes === undefined ? {} : { partSizeBytes }),
      ...(partsInFlight === undefined ? {} : { partsInFlight }),
      onEvent: (event) => {
        onEvent(event)
        if (event.type !== 'ended') return
        const { type: _, ...file } = event
        give(file)
      },
      onOutcome: async (file) => onOutcome(file),
      isProvenBy: async (path, receipt) => (await verifyReceipt(path, receipt)).isProven,
    })
  })
}
