/** The options of a link, which are checked before anything is loaded to make one. */
import { checkOptions, optionsInvalid, receiversPerTransferMax } from '../protocol/index.ts'

export interface LinkOptions {
  /** How many people can receive the file by the link, each once. Each has a receipt. Default: 1. */
  readonly takes?: number
  /** Milliseconds until the link stops working. Default: 7 days, or less where the portal allows less. */
  readonly expiryMs?: number
  /** Needed besides the link to receive the file. The portal never learns it. */
  readonly passphrase?: string
}

const linkOptionRules = { takes: 'number?', expiryMs: 'number?', passphrase: 'text?' } as const

/** What a link is asked for. */
interface AskedLink {
  /** How many receivers the file has besides. */
  readonly others: number
  /** How many deliveries there would be. */
  readonly deliveries: number
  readonly plain: boolean
}

/** @throws Problem `options-invalid` */
export function requireLinkOptions(link: LinkOptions, { others, deliveries, plain }: AskedLink): void {
  checkOptions("send(), in 'link',", link, linkOptionRules)
  const { takes = 1, expiryMs, passphrase } = link
  const takesMax = receiversPerTransferMax - others
  if (!Number.isInteger(takes) || takes < 1 || takes > takesMax) {
    throw optionsInvalid(`a link can be taken from 1 to ${takesMax} times`)
  }
  if (expiryMs !== undefined && expiryMs < EXPIRY_MS_MIN) throw optionsInvalid('a link works for a second at least')
  if (passphrase === '') throw optionsInvalid('the passphrase of a link must not be empty')
  if (deliveries !== 1) {
    throw optionsInvalid('a link is for one file or folder: several become one folder with a name, by --as NAME')
  }
  if (plain) throw optionsInvalid('what is sent by a link is always sealed: leave --plain out')
}

/** A shorter one would have ended before it was printed. */
const EXPIRY_MS_MIN = 1_000
