/** How files are read, sealed and uploaded: what `send()` and `watch()` both take. */
import type { OptionRule } from '../protocol/index.ts'

export interface UploadOptions {
  /** Sends without end-to-end encryption, so that the portal can read the files. They are still signed. Default: false. */
  readonly plain?: boolean
  /** Tells the receivers when each file was modified last, so that it arrives with that time. Default: true. */
  readonly times?: boolean
  /** Patterns of what is left out of folders, as in gitignore(5), besides those in files `.golooaderignore`. Default: none. */
  readonly exclude?: string | readonly string[]
  /** Refuses folders with something that cannot be sent, instead of leaving that out. Default: false. */
  readonly strict?: boolean
  /** Bytes of a part, within the limits of the portal. Default: 8 MiB, more for large files. */
  readonly partSizeBytes?: number
  /** Parts of one file that travel at the same time. Default: adapts to the connection. */
  readonly partsInFlight?: number
}

export const uploadOptionRules = {
  plain: 'flag?',
  times: 'flag?',
  exclude: 'oneOrMore?',
  strict: 'flag?',
  partSizeBytes: 'number?',
  partsInFlight: 'number?',
} as const satisfies Record<keyof UploadOptions, OptionRule>

export const RESPONSE_TIMEOUT_MS_DEFAULT = 60_000

/** Why an account without keys cannot send sealed files. */
export const NO_KEYS =
  'without keys nothing can be sealed. Set GOLOOADER_KEYS to the "keys" of the profile, or send it readable for the portal: --plain'
