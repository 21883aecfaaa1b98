/** Uploads files by the machinery of resumable uploads itself, without HTTP: content comes and breaks as a test wants. */
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { Account, Ledger, Transfer } from '../../../src/portal/ledger/contract.ts'
import type { Store } from '../../../src/portal/store/contract.ts'
import {
  type Append,
  type Appended,
  type NewUpload,
  ResumableUploads,
  type UploadSession,
} from '../../../src/portal/uploads/resumable/index.ts'
import { partCount } from '../../../src/protocol/index.ts'
import type { Portal } from '../several.ts'

export const MIB = 1024 * 1024
export const PART_BYTES = 8 * MIB
/** Longer than one part of any size, so that nothing depends on the length. */
export const film = randomBytes(2 * PART_BYTES + MIB + 17)

const never = new AbortController().signal

export function newUpload(given: Partial<NewUpload> = {}): NewUpload {
  return {
    protocol: 'ietf',
    to: ['bob'],
    metadata: { name: 'film' },
    key: null,
    lengthBytes: film.length,
    reprDigest: null,
    metadataText: null,
    ...given,
  }
}

/** Content of a request. Its connection breaks at its end, if wanted. */
export function content(bytes: Buffer, { breaks = false } = {}): Readable {
  async function* come(): AsyncGenerator<Buffer> {
    // A copy, because the portal owns the memory of what it received.
    yield Buffer.from(bytes)
    if (breaks) throw new Error('the line was cut')
  }
  return Readable.from(come())
}

/** A request that brings some bytes of a file. */
export function anAppend(offsetBytes: number, bytes: Buffer, given: Partial<Append> = {}): Append {
  return {
    offsetBytes,
    completes: false,
    contentBytes: bytes.length,
    lengthBytes: null,
    reprDigest: null,
    contentDigests: null,
    source: content(bytes),
    signal: never,
    onAdmitted: () => {},
    ...given,
  }
}

/** A client that uploads to any of several portals. */
export class Uploader {
  readonly transferId: string
  readonly #account: Account
  readonly #secret: string

  private constructor(transferId: string, account: Account, secret: string) {
    this.transferId = transferId
    this.#account = account
    this.#secret = secret
  }

  static async create(portal: Portal, account: Account, given: Partial<NewUpload> = {}): Promise<Uploader> {
    const { secret, session } = await new ResumableUploads(portal.context, portal.transfers).create(
      account,
      newUpload(given),
    )
    await session[Symbol.asyncDispose]()
    return new Uploader(session.transfer.transferId, account, secret)
  }

  open({ context, transfers }: Portal, willWrite = true): Promise<UploadSession> {
    const how = { willWrite, signal: never }
    return new ResumableUploads(context, transfers).open(this.#account, 'ietf', this.#secret, how)
  }

  /** The offset that a portal tells. */
  async offset(portal: Portal): Promise<number> {
    await using session = await this.open(portal, false)
    return session.state.offsetBytes
  }

  async append(portal: Portal, offsetBytes: number, bytes: Buffer, given: Partial<Append> = {}): Promise<Appended> {
    await using session = await this.open(portal)
    return await session.append(anAppend(offsetBytes, bytes, given))
  }
}

/** The stored content of a transfer. */
export async function storedContent(store: Store, transfer: Transfer): Promise<Buffer> {
  const held = await store.list(transfer)
  const parts: Buffer[] = []
  for (let partNumber = 1; partNumber <= partCount(transfer); partNumber++) {
    const { transferId, generation } = transfer
    const part = await store.read({ transferId, generation, partNumber, digest: held.get(partNumber) ?? '' })
    if (part === null) throw new Error(`part ${partNumber} is missing`)
    parts.push(await buffer(part.stream))
  }
  return Buffer.concat(parts)
}

export async function transferOf(ledger: Ledger, transferId: string): Promise<Transfer> {
  const transfer = await ledger.transfer(transferId)
  if (transfer === null) throw new Error(`${transferId} is not in the ledger`)
  return transfer
}
