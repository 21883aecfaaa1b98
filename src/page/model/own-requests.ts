/**
 * The requests for files of this account. Their secrets are in the browser that made them; another one sees the counts, and neither label
 * nor link.
 */
import { type ReadonlySignal, signal } from '@preact/signals'
import * as Type from 'typebox'
import { RetryPolicy } from '../../client/index.ts'
import { conforms, type FileRequest, linkOf, newTransferId } from '../../protocol/index.ts'
import { newLinkSecret, openLabel, requestSecretsOf, sealLabel } from '../../trust/index.ts'
import { change, type PageDatabase } from '../platform/database.ts'
import { expiryOf, type OwnLinksOptions } from './own-links.ts'
import type { FileRequestOptions, FileRequests, ShownRequest } from './types.ts'

const PAGE_SIZE = 50

const StoredRequest = Type.Object({ secret: Type.String() })

export class OwnRequests implements FileRequests {
  readonly requests: ReadonlySignal<readonly ShownRequest[]>
  readonly #options: OwnLinksOptions
  readonly #retryPolicy: RetryPolicy
  readonly #requests = signal<readonly ShownRequest[]>([])

  constructor(options: OwnLinksOptions) {
    this.#options = options
    this.#retryPolicy = new RetryPolicy({ answerTimeoutMs: Number.POSITIVE_INFINITY, signal: options.signal })
    this.requests = this.#requests
  }

  /** The newest requests. */
  async load(): Promise<void> {
    const { client } = this.#options
    const { requests } = await this.#retryPolicy.retry((bounds) => client.guests.requests({ limit: PAGE_SIZE }, bounds))
    this.#requests.value = await Promise.all(requests.map((one) => this.#shown(one)))
  }

  async make({ label, expiryMs, filesMax, bytesMax }: FileRequestOptions, expiryMsMax: number): Promise<void> {
    const { client, database } = this.#options
    const secret = newLinkSecret()
    const requestId = newTransferId()
    const [{ bearerHash: secretHash }, sealed] = await Promise.all([
      requestSecretsOf(secret),
      label.trim() === '' ? null : sealLabel(secret, label),
    ])
    const expiresAt = expiryOf(expiryMs, expiryMsMax)
    await change(database, 'requests', (stored) => stored.put({ secret }, requestId))
    const asked = { requestId, secretHash, label: sealed, expiresAt, filesMax, bytesMax }
    await this.#retryPolicy.retry((bounds) => client.guests.request(asked, bounds))
    await this.load()
  }

  async close(requestId: string): Promise<void> {
    const { client } = this.#options
    await this.#retryPolicy.retry((bounds) => client.guests.closeRequest(requestId, bounds))
    await this.load()
  }

  /** @returns null where the request has no label, or another browser made it */
  async labelOf({ requestId, label }: Pick<FileRequest, 'requestId' | 'label'>): Promise<string | null> {
    const secret = await secretOf(this.#options.database, requestId)
    return secret === null || label === null ? null : openLabel(secret, label)
  }

  async #shown(request: FileRequest): Promise<ShownRequest> {
    const { portalUrl, fingerprint, database } = this.#options
    const secret = await secretOf(database, request.requestId)
    const { requestId, label, state, expiresAt, files, bytes, filesMax, bytesMax } = request
    const counts = { requestId, state, expiresAt, files, bytes, filesMax, bytesMax }
    if (secret === null) return { ...counts, label: null, link: null }
    return {
      ...counts,
      label: label === null ? null : await openLabel(secret, label),
      link: linkOf({ kind: 'request', portalUrl, secret, fingerprint }),
    }
  }
}

async function secretOf(database: PageDatabase, requestId: string): Promise<string | null> {
  const stored: unknown = await database.get('requests', requestId)
  return conforms(StoredRequest, stored) ? stored.secret : null
}
