/**
 * Sending by the link of a request, without an account. The visitor becomes a guest, whose token and keys are on this machine, durable,
 * before the portal hears of it. So the same call again, after a crash, continues the same transfers. The record is kept for as long as the
 * portal knows the guest.
 */

import { join } from 'node:path'
import type { Readable } from 'node:stream'
import * as Type from 'typebox'
import { never } from '../async/index.ts'
import { PortalClient, RemoteProblem, type RetryPolicy } from '../client/index.ts'
import { type ConnectionOptions, nodeTransport } from '../client/node-transport.ts'
import { Records, recordNameOf, shortRetryPolicy, stateFolder } from '../profile/index.ts'
import {
  checkOptions,
  guestNameOf,
  newToken,
  optionsInvalid,
  Problem,
  PublicKeys,
  parseLink,
  type RequestLink,
  Timestamp,
} from '../protocol/index.ts'
import type { SendOutcome } from '../sender/index.ts'
import { AccountKeys, fingerprintOf, OwnerContacts, openLabel, requestSecretsOf } from '../trust/index.ts'
import { connectionRules } from './connection.ts'
import { asLibraryCall } from './error.ts'
import type { CallOptions } from './profile.ts'
import {
  type CheckedSend,
  retryPolicyOf,
  type SendInput,
  type SendOptions,
  sendFiles,
  sendOptionsOf,
} from './sending.ts'

export interface OpenRequestOptions extends CallOptions, ConnectionOptions {}

/** What a visitor sends: all that an account can, except to choose receivers, to make links, and to send what is not sealed. */
export type VisitSendOptions = Omit<SendOptions, 'to' | 'link' | 'plain'>

const VisitRecord = Type.Object({
  account: Type.String(),
  token: Type.String(),
  /** `AccountKeys.secret` */
  keys: Type.String(),
  owner: Type.Object({ account: Type.String(), keys: PublicKeys }),
  label: Type.Union([Type.String(), Type.Null()]),
  expiresAt: Timestamp,
  /** Whether the portal is known to know the guest. */
  hasJoined: Type.Boolean(),
})
type VisitRecord = Type.Static<typeof VisitRecord>

/** The portal knows a guest for a while after its request has ended, so that it learns the end of its files. */
const KEPT_AFTER_EXPIRY_MS = 90 * 24 * 60 * 60 * 1000

const visitRecords = () => new Records(join(stateFolder(), 'visits'), VisitRecord)

/** A request for files, opened by its link. */
export class RequestVisit implements AsyncDisposable {
  /** Who asks for files. The link proves these keys. */
  readonly owner: { readonly account: string; readonly fingerprint: string }
  /** What the files are for; null where the request does not say. It is not safe to show unescaped. */
  readonly label: string | null
  readonly expiresAt: string
  readonly #link: RequestLink
  readonly #transport: ReturnType<typeof nodeTransport>
  readonly #contacts: OwnerContacts
  #record: VisitRecord

  /** @internal */
  constructor(
    link: RequestLink,
    transport: ReturnType<typeof nodeTransport>,
    contacts: OwnerContacts,
    record: VisitRecord,
  ) {
    const { account, fingerprint } = contacts.owner
    this.owner = { account, fingerprint }
    this.label = record.label
    this.expiresAt = record.expiresAt
    this.#link = link
    this.#transport = transport
    this.#contacts = contacts
    this.#record = record
  }

  /**
   * Sends files to the account that asks for them, like `Profile.send`. A call with the same files resumes what an earlier one has begun.
   *
   * @throws GoLooaderError `link-invalid` when the request was closed, or has expired; like `Profile.send`
   */
  send(input: SendInput, options: VisitSendOptions = {}): Promise<SendOutcome[]> {
    return asLibraryCall(async () => {
      const checked = sendOptionsOf(input, { ...options, to: this.owner.account })
      try {
        return await this.#send(checked)
      } catch (error) {
        // The portal was restored from a backup, or has forgotten the guest.
        if (!(error instanceof RemoteProblem) || error.code !== 'credentials-invalid') throw error
        this.#record = { ...this.#record, hasJoined: false }
        return this.#send(checked)
      }
    })
  }

  /** Closes the connections to the portal. */
  async close(): Promise<void> {
    await this.#transport.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #send(checked: CheckedSend): Promise<SendOutcome[]> {
    if (!this.#record.hasJoined) await this.#join(retryPolicyOf(checked))
    const { account, token, keys } = this.#record
    const client = new PortalClient(this.#transport, token)
    const { portalUrl } = this.#link
    const connection = { client, portalUrl, stateUrl: portalUrl, contacts: this.#contacts }
    return sendFiles(connection, { account, keys: await AccountKeys.parse(keys) }, checked)
  }

  /** Makes the visitor a guest: the one of an earlier call, if there is one. */
  async #join(retryPolicy: RetryPolicy): Promise<void> {
    const records = visitRecords()
    const name = visitName(this.#link)
    this.#record = await records.alone(async () => {
      const known = await records.read(name)
      if (known === null) await records.write(name, this.#record)
      return known ?? this.#record
    })
    const { account, token, keys } = this.#record
    const { publicKeys } = await AccountKeys.parse(keys)
    const { bearer: secret } = await requestSecretsOf(this.#link.secret)
    const visitor = new PortalClient(this.#transport, null)
    await retryPolicy.retry((bounds) => visitor.guests.join({ secret, account, token, keys: publicKeys }, bounds))
    this.#record = { ...this.#record, hasJoined: true }
    await records.write(name, this.#record)
  }
}

const NO_LINK =
  'this is not the link of a request for files: it looks like https://portal.example/r#glr_… ' +
  "(in a shell, put it in quotes: '#' begins a comment there)"

const LINK_TO_RECEIVE =
  'this link is one to receive a file by, and takes none: golooader receive LINK --into DIR. One to send by looks like https://portal.example/r#glr_…'

/**
 * Opens the link of a request for files. The portal is only asked about it: nothing changes there before something is sent.
 *
 * @param link `https://portal.example/r#glr_…`
 * @throws GoLooaderError `options-invalid` for any other link; `link-invalid` when it is unknown, closed or expired; `keys-changed` when the
 *   portal names other keys than the link; `no-answer`
 */
export function openRequest(link: string, options: OpenRequestOptions = {}): Promise<RequestVisit> {
  return asLibraryCall(async () => {
    checkOptions('openRequest()', { link, ...options }, { link: 'text', signal: 'signal?', ...connectionRules })
    const { signal = never, ...connection } = options
    const parsed = parseLink(link)
    if (parsed?.kind === 'send') throw optionsInvalid(LINK_TO_RECEIVE)
    if (parsed?.kind !== 'request') throw optionsInvalid(NO_LINK)
    const transport = nodeTransport(parsed.portalUrl, connection)
    try {
      const record = await recordOf(parsed, new PortalClient(transport, null), signal)
      const contacts = await OwnerContacts.of(parsed.fingerprint, record.owner)
      return new RequestVisit(parsed, transport, contacts, record)
    } catch (error) {
      await transport.close()
      throw error
    }
  })
}

function visitName({ portalUrl, secret }: RequestLink): string {
  return recordNameOf(portalUrl, secret)
}

/** The record of an earlier call, which may be about a request that has ended; otherwise a new one, which is not written yet. */
async function recordOf(link: RequestLink, visitor: PortalClient<Readable>, signal: AbortSignal): Promise<VisitRecord> {
  const records = visitRecords()
  const earlier = await records.read(visitName(link))
  if (earlier?.hasJoined === true) return earlier
  const { bearer } = await requestSecretsOf(link.secret)
  const { owner, label, expiresAt } = await shortRetryPolicy(signal).retry(() =>
    visitor.guests.look({ secret: bearer }, { signal }),
  )
  const about = { owner, label: label === null ? null : await labelOf(link.secret, label), expiresAt, hasJoined: false }
  if (earlier !== null) return { ...earlier, ...about }
  await forgetExpired(records)
  const keys = await AccountKeys.generate()
  const account = guestNameOf(await fingerprintOf(keys.publicKeys))
  return { account, token: newToken(), keys: keys.secret, ...about }
}

async function forgetExpired(records: ReturnType<typeof visitRecords>): Promise<void> {
  for (const [name, { expiresAt }] of await records.all()) {
    if (Date.parse(expiresAt) + KEPT_AFTER_EXPIRY_MS < Date.now()) await records.remove(name)
  }
}

/** A label says nothing about who asks, so one that cannot be opened hinders nothing. */
async function labelOf(secret: string, sealed: string): Promise<string | null> {
  try {
    return await openLabel(secret, sealed)
  } catch (error) {
    if (error instanceof Problem && error.code === 'seal-broken') return null
    throw error
  }
}
