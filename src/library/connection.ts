import type { ConnectionOptions } from '../client/node-transport.ts'
import type { OptionRule } from '../protocol/index.ts'

export type { ConnectionOptions } from '../client/node-transport.ts'

/** For `checkOptions`: the options of every call that connects to a portal by itself. */
export const connectionRules = {
  insecure: 'flag?',
  proxies: 'flag?',
  systemCa: 'flag?',
  limitBytesPerSecond: 'number?',
} as const satisfies Record<keyof ConnectionOptions, OptionRule>
