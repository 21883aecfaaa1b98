/** Sends a file in one request. */
import { join } from 'node:path'
import { partsIn } from '../../e2e/harness/world.ts'
import type { TestPortal } from '../portal.ts'
import { Exchange, type ExchangeAnswer } from './exchange.ts'

export const MIB = 1024 * 1024

export interface Sending {
  readonly from?: string
  readonly token?: string
  readonly method?: string
  /** null sends a body of unknown length. */
  readonly lengthBytes?: number | null
  readonly headers?: Readonly<Record<string, string>>
}

/** Begins to send to `/v1/to/PATH`. */
export function oneRequest(portal: TestPortal, path: string, sending: Sending = {}): Exchange {
  const { from = 'alice', token = portal.token(from), method = 'PUT', lengthBytes = null, headers = {} } = sending
  const length: Record<string, string> =
    lengthBytes === null ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(lengthBytes) }
  return new Exchange(method, `/v1/to/${path}`, {
    url: portal.url,
    token,
    headers: { prefer: 'wait=0', ...length, ...headers },
  })
}

/** Sends the whole file. */
export function sendWhole(
  portal: TestPortal,
  path: string,
  content: Buffer,
  sending: Sending = {},
): Promise<ExchangeAnswer> {
  return oneRequest(portal, path, { lengthBytes: content.length, ...sending }).end(content)
}

/** The names of all files in the store. */
export function storedFiles(portal: TestPortal): Promise<string[]> {
  return partsIn(join(portal.dataFolder, 'store'))
}

/** The transferId that a text answer contains. */
export function transferIdIn({ lines }: ExchangeAnswer): string {
  return /^stored (\S+) /.exec(lines[0] ?? '')?.[1] ?? ''
}
