/**
 * A profile in use: one account at one portal, with its token, keys, contacts and receipts on this machine. Sender and receiver are
 * loaded when they are first used.
 */
import type { Writable } from 'node:stream'
import { never } from '../async/index.ts'
import type { ConnectionOptions } from '../client/node-transport.ts'
import type { WatchedFile } from '../outbox/index.ts'
import {
  type Connection,
  connect,
  FileReceipts,
  isStateTemporary,
  type KnownSelf,
  knownSelf,
  type StoredContact,
  shortRetryPolicy,
  stateFolder,
} from '../profile/index.ts'
import {
  checkOptions,
  type FileRequest,
  isTransferId,
  type OptionRule,
  optionsInvalid,
  type ReceivedDelivery,
  type TransferStatus,
  type TransferSummary,
} from '../protocol/index.ts'
import type { ReceivedFile } from '../receiver/index.ts'
import type { SendOutcome } from '../sender/index.ts'
import { fingerprintOf } from '../trust/index.ts'
import { connectionRules } from './connection.ts'
import { trustFingerprint } from './contacts.ts'
import { asLibraryCall } from './error.ts'
import { type DescribedFile, fileOf, type NamedItem } from './file-of.ts'
import type { NewRequestOptions, OwnFileRequest } from './file-requests.ts'
import { newest } from './paging.ts'
import { type FoundReceipts, findReceipts, type Receipt } from './receipts.ts'
import {
  deliveriesInto,
  type ReceivedStream,
  type ReceiveOptions,
  type ReceiveStreamOptions,
  requireReceiveOptions,
  requireStreamOptions,
  streamInto,
} from './receiving.ts'
import { RequestLabels } from './request-labels.ts'
import { retryPolicyOf, type SendInput, type SendOptions, sendFiles, sendOptionsOf } from './sending.ts'
import { filesFrom, requireWatchOptions, type WatchOptions } from './watching.ts'
import { Webhooks } from './webhooks.ts'

const LIST_LENGTH_DEFAULT = 20

/** Options of every call that waits. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** The account of a profile. */
export interface Identity {
  readonly account: string
  readonly portalUrl: string
  /** The fingerprint of the account's keys: `abcd-efgh-…`. Null for an account without keys, which neither seals nor signs. */
  readonly fingerprint: string | null
  /** The public keys, base64url; null for an account without keys. */
  readonly keys: { readonly signing: string; readonly encryption: string } | null
}

const signalRule = { signal: 'signal?' } as const satisfies Record<keyof CallOptions, OptionRule>

export class Profile implements AsyncDisposable {
  /** The name of the profile; null when the account comes from the environment. */
  readonly name: string | null
  readonly portalUrl: string
  readonly #connection: Connection
  #self: KnownSelf | null = null

  /** @internal */
  constructor(connection: Connection) {
    this.name = connection.profile
    this.portalUrl = connection.portalUrl
    this.#connection = connection
  }

  /**
   * Whether this user has no lasting folder. Contacts, journal and receipts are then deleted when the process ends, and an
   * interrupted `send` starts again from the beginning.
   */
  get isStateTemporary(): boolean {
    return isStateTemporary()
  }

  /** The account of this profile. A profile that `join` has written knows it; otherwise the portal is asked, for up to 15 s. */
  identity(options: CallOptions = {}): Promise<Identity> {
    return this.#call('identity()', options, async (signal) => {
      const { account, keys } = await this.#knownSelf(signal)
      const publicKeys = keys === null ? null : keys.publicKeys
      const fingerprint = publicKeys === null ? null : await fingerprintOf(publicKeys)
      return { account, portalUrl: this.portalUrl, fingerprint, keys: publicKeys }
    })
  }

  /**
   * Sends files, each as a transfer of its own, and waits until each receiver has answered. A call with the same files and receivers
   * resumes what an earlier one has begun.
   *
   * @param input the path of a regular file, several paths, or a stream, whose `name` the options give. A stream cannot be resumed: the
   *   outcome of one that breaks off is `no-answer` with the problem `stream-broken`
   * @returns one outcome per path, in their order
   * @throws GoLooaderError before anything is sent: `options-invalid`, `source-not-a-file`, `source-unreadable`, `keys-changed`,
   *   `keys-missing`, `folder-unavailable`, `credentials-invalid`, `profile-unusable`
   */
  send(input: SendInput, options: SendOptions): Promise<SendOutcome[]> {
    return asLibraryCall(async () => {
      const checked = sendOptionsOf(input, options)
      const self = await this.#knownSelf(checked.signal, retryPolicyOf(checked))
      return sendFiles(this.#connection, self, checked)
    })
  }

  /**
   * Receives files into a folder. Each delivery is yielded when its file is complete, verified and durable, and the portal knows it.
   * Files continue to arrive while the body of the loop runs. The iteration ends when `signal` aborts; leaving the loop stops
   * receiving, and unfinished files are resumed by the next call.
   *
   * @param folder must have been used by a receiver before, unless `create` is set
   * @throws GoLooaderError `options-invalid`, `folder-unavailable`, `disk-full`, `write-failed`, `credentials-invalid`,
   *   `instance-in-use`
   */
  receive(folder: string, options: ReceiveOptions = {}): AsyncGenerator<ReceivedFile, void, undefined> {
    requireReceiveOptions(folder, options)
    return deliveriesInto(this.#connection, folder, options, (signal, retryPolicy) =>
      this.#knownSelf(signal, retryPolicy),
    )
  }

  /**
   * Sends whatever is put into a folder, each file and each folder in it as a transfer of its own. Then it lies in the subfolder `sent` with
   * its receipt, or in `failed` with the reason, and is yielded. Runs until `signal` aborts; leaving the loop stops it. Started again, also
   * after a crash, it continues: no file is lost, and none is sent twice.
   *
   * @throws GoLooaderError `options-invalid`, `outbox-busy` when another process watches the folder, `folder-unavailable`,
   *   `receiver-unknown`, `keys-changed`, `keys-missing`, `credentials-invalid`, `profile-unusable`
   */
  watch(folder: string, options: WatchOptions): AsyncGenerator<WatchedFile, void, undefined> {
    requireWatchOptions(folder, options)
    return filesFrom(this.#connection, folder, options, (signal, retryPolicy) => this.#knownSelf(signal, retryPolicy))
  }

  /**
   * Receives one file into a stream, for instance into a pipe. Only verified content is written, part by part and in order. When this
   * resolves, the whole file was right, and its receipt is signed. The stream stays open.
   *
   * What was written before an error cannot be taken back: the caller tells the reader of the stream.
   *
   * @throws GoLooaderError of a refusal, for instance `manifest-mismatching`, and of a delivery that ended; `options-invalid`,
   *   `credentials-invalid`, `instance-in-use`; `write-failed` when the stream takes no more: then the file stays at the portal
   */
  receiveInto(stream: Writable, options: ReceiveStreamOptions = {}): Promise<ReceivedStream> {
    return asLibraryCall(async () => {
      requireStreamOptions(stream, options)
      return streamInto(this.#connection, stream, options, (signal, retryPolicy) =>
        this.#knownSelf(signal, retryPolicy),
      )
    })
  }

  /** The newest transfers that this account has sent, newest first. @param options `limit`: how many, 20 by default */
  sent(options: CallOptions & { readonly limit?: number } = {}): Promise<readonly TransferSummary[]> {
    return this.#list('sent()', options, async (client, page, signal) => {
      const { transfers: items, before } = await client.transfers(page, { signal })
      return { items, before }
    })
  }

  /**
   * The newest deliveries for this account, newest first. The label of the request by which a guest sent it is opened; it is null where
   * this machine does not know it.
   *
   * @param options `limit`: how many, 20 by default
   */
  received(options: CallOptions & { readonly limit?: number } = {}): Promise<readonly ReceivedDelivery[]> {
    return this.#list('received()', options, async (client, page, signal) => {
      const { deliveries, before } = await client.deliveries(page, { signal })
      const labels = new RequestLabels()
      return { items: deliveries.map((one) => labels.opened(one)), before }
    })
  }

  /** One transfer that this account has sent, with its notifications. @throws GoLooaderError `not-found` */
  transfer(transferId: string, options: CallOptions = {}): Promise<TransferStatus> {
    return this.#call('transfer()', options, (signal) => {
      requireTransferId(transferId)
      return shortRetryPolicy(signal).retry(() => this.#connection.client.transfer(transferId, { signal }))
    })
  }

  /** Cancels a transfer that has not ended. Receivers that have the file keep it. @throws GoLooaderError `not-found` */
  cancel(transferId: string, options: CallOptions = {}): Promise<TransferStatus> {
    return this.#call('cancel()', options, (signal) => {
      requireTransferId(transferId)
      return shortRetryPolicy(signal).retry(() => this.#connection.client.cancel(transferId, { signal }))
    })
  }

  /**
   * The file or folder of a transfer or delivery from a list above. Its name is not safe to show unescaped.
   *
   * @throws GoLooaderError `seal-unopenable`, `seal-broken` when the keys of this account do not open it
   */
  fileOf(item: NamedItem, options: CallOptions = {}): Promise<DescribedFile> {
    return this.#call('fileOf()', options, async (signal) => fileOf(item, () => this.#knownSelf(signal)))
  }

  /**
   * The receipts of a transfer that this account has sent, verified. They are taken from this machine, or from the portal and then
   * kept here.
   *
   * @param options `receiver`: only the receipt of this receiver
   * @returns an empty list when no receiver has signed yet
   * @throws GoLooaderError `receipt-invalid`, `keys-missing`, `not-found`
   */
  receipts(
    transferId: string,
    options: CallOptions & { readonly receiver?: string } = {},
  ): Promise<readonly Receipt[]> {
    const { receiver = null, ...call } = options
    return this.#call('receipts()', call, (signal) => {
      requireTransferId(transferId)
      const of: FoundReceipts = {
        connection: this.#connection,
        store: new FileReceipts(stateFolder()),
        self: () => this.#knownSelf(signal),
      }
      return findReceipts(of, { transferId, receiver, signal })
    })
  }

  /** The link of a transfer that this machine has sent by one; null when there is none, or when it has expired. */
  link(transferId: string, options: CallOptions = {}): Promise<{ link: string; expiresAt: string } | null> {
    return this.#call('link()', options, async (signal) => {
      requireTransferId(transferId)
      const { linkOfTransfer } = await import('./send-link.ts')
      return linkOfTransfer(this.#connection, await this.#knownSelf(signal), transferId)
    })
  }

  /**
   * Makes a link by which anybody can send files to this account, sealed for its keys.
   *
   * @throws GoLooaderError `guests-off` where the portal allows no links, `too-many-guests`, `options-invalid`
   */
  request(options: NewRequestOptions = {}): Promise<OwnFileRequest> {
    return asLibraryCall(async () => {
      const { requestFiles, requireRequestOptions } = await import('./file-requests.ts')
      requireRequestOptions(options)
      const { signal = never } = options
      return requestFiles(this.#connection, await this.#knownSelf(signal), options, signal)
    })
  }

  /** The requests for files of this account, newest first. */
  requests(options: CallOptions = {}): Promise<readonly OwnFileRequest[]> {
    return this.#call('requests()', options, async (signal) => {
      const { listRequests } = await import('./file-requests.ts')
      return listRequests(this.#connection, await this.#knownSelf(signal), signal)
    })
  }

  /** Closes a request: its link takes no more files. What the portal has is still delivered. @throws GoLooaderError `not-found` */
  closeRequest(requestId: string, options: CallOptions = {}): Promise<FileRequest> {
    return this.#call('closeRequest()', options, async (signal) => {
      const { closeRequest } = await import('./file-requests.ts')
      return closeRequest(this.#connection, requestId, signal)
    })
  }

  /** Webhooks: addresses to which the portal posts the notifications of this account. */
  get webhooks(): Webhooks {
    return new Webhooks(this.#connection)
  }

  /** The accounts whose keys this profile trusts. */
  contacts(): Promise<StoredContact[]> {
    return asLibraryCall(async () => {
      const { portalUrl } = this
      return (await this.#connection.contacts.list()).map((contact) => ({ ...contact, portalUrl }))
    })
  }

  /**
   * Trusts the keys with this fingerprint. They replace what was trusted before.
   *
   * @throws GoLooaderError `options-invalid` for an invalid name or fingerprint, and when the portal names other keys
   */
  trust(account: string, fingerprint: string, options: CallOptions = {}): Promise<void> {
    return this.#call('trust()', options, (signal) =>
      trustFingerprint(this.#connection, { account, text: fingerprint, signal }),
    )
  }

  /** Closes the connections to the portal. */
  close(): Promise<void> {
    return this.#connection.client.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #knownSelf(signal: AbortSignal, retryPolicy = shortRetryPolicy(signal)): Promise<KnownSelf> {
    this.#self ??= await knownSelf(this.#connection, signal, retryPolicy)
    return this.#self
  }

  #call<Result>(name: string, options: CallOptions, act: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    return asLibraryCall(async () => {
      checkOptions(name, options, signalRule)
      return act(options.signal ?? never)
    })
  }

  #list<Item extends { readonly transferId: string }>(
    name: string,
    options: CallOptions & { readonly limit?: number },
    pageAt: (
      client: Connection['client'],
      page: { limit: number; before?: string },
      signal: AbortSignal,
    ) => Promise<{ items: readonly Item[]; before: string | null }>,
  ): Promise<readonly Item[]> {
    return asLibraryCall(async () => {
      checkOptions(name, options, { ...signalRule, limit: 'number?' })
      const { limit = LIST_LENGTH_DEFAULT, signal = never } = options
      const retryPolicy = shortRetryPolicy(signal)
      return newest(limit, (page) => retryPolicy.retry(() => pageAt(this.#connection.client, page, signal)))
    })
  }
}

/**
 * Opens a profile of this machine, as `join` and `golooader join` write them. It makes no request to the portal.
 *
 * @param name of the profile; not needed when there is only one, or when GOLOOADER_PORTAL, GOLOOADER_TOKEN and GOLOOADER_KEYS
 *   name an account
 * @throws GoLooaderError `profile-unusable`, `insecure-transport`, `options-invalid`
 */
export function openProfile(name?: string, options: ConnectionOptions = {}): Promise<Profile> {
  return asLibraryCall(async () => {
    checkOptions('openProfile()', { name, ...options }, { name: 'text?', ...connectionRules })
    return new Profile(await connect(name, options))
  })
}

function requireTransferId(text: string): void {
  if (!isTransferId(text)) throw optionsInvalid(`'${text}' is not the id of a transfer`)
}
