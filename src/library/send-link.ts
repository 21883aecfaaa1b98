/**
 * Sending by a link. Everything that its receivers need is derived from the link's secret, and they are guests of this account: the
 * file is sent to them as to any receiver.
 *
 * The secret is on this machine, durable, before the portal hears of its guests. So the same call again, after a crash, continues with the
 * same link. A record is kept until the link expires, because no portal could tell the link again.
 */
import { join } from 'node:path'
import * as Type from 'typebox'
import type { RetryPolicy } from '../client/index.ts'
import { type Connection, type KnownSelf, Records, recordNameOf, stateFolder } from '../profile/index.ts'
import { type Limits, linkOf, NewGuest, optionsInvalid, Timestamp } from '../protocol/index.ts'
import type { SendEvent, SendOutcome, SourceIdentity } from '../sender/index.ts'
import type { LinkedFile } from '../sender/node.ts'
import { FileJournal } from '../sender/node-journal.ts'
import { isSameSource } from '../sender/source.ts'
import { fingerprintOf, guestOf, newGuestOf, newLinkSecret, passphraseKeyOf } from '../trust/index.ts'
import { linkExpiry, timeOf } from './guests.ts'
import type { LinkOptions } from './link-options.ts'

/** What this machine keeps of a link that it has made. */
export const LinkRecord = Type.Object({
  /** `Connection.stateUrl`. */
  portalUrl: Type.String(),
  account: Type.String(),
  /** Equal for calls that continue each other. */
  call: Type.String(),
  /** What the link is for; null for a stream, which no other call continues. */
  source: Type.Union([Type.Record(Type.String(), Type.Union([Type.String(), Type.Number()])), Type.Null()]),
  secret: Type.String(),
  hasPassphrase: Type.Boolean(),
  guests: Type.Array(NewGuest),
  expiresAt: Timestamp,
  /** Null until the file is stored. */
  transferId: Type.Union([Type.String(), Type.Null()]),
  /** Whether the caller knows the end of the transfer. The same call then makes another link. */
  isOver: Type.Boolean(),
})
export type LinkRecord = Type.Static<typeof LinkRecord>

export const linkRecords = () => new Records(join(stateFolder(), 'links'), LinkRecord)
export const linkRecordName = ({ secret }: LinkRecord): string => recordNameOf(secret)

export interface MakeLink {
  readonly connection: Pick<Connection, 'client' | 'portalUrl' | 'stateUrl'>
  readonly self: KnownSelf
  readonly link: LinkOptions
  /** The other receivers. */
  readonly to: readonly string[]
  readonly retryPolicy: RetryPolicy
  readonly onEvent: (event: SendEvent) => void
}

/** A link while its file is sent. */
export class LinkInMaking {
  readonly #asked: MakeLink
  readonly #records = linkRecords()
  #record: LinkRecord | null = null
  #told: Promise<string> | null = null

  constructor(asked: MakeLink) {
    this.#asked = asked
  }

  /**
   * Finds the link that the same call made before, or makes one. Its guests exist at the portal when this resolves.
   *
   * @returns the names of the guests
   * @throws Problem `guests-off`, `too-many-guests`, `options-invalid`; RemoteProblem; NoResponseError
   */
  readonly guestsFor = async (file: LinkedFile): Promise<readonly string[]> => {
    const { client } = this.#asked.connection
    const limits = await this.#asked.retryPolicy.retry((bounds) => client.limits(bounds))
    const record = await this.#records.alone(async () => (await this.#known(file, limits)) ?? this.#make(file, limits))
    this.#record = record
    const { guests, expiresAt } = record
    await this.#asked.retryPolicy.retry((bounds) => client.guests.make({ guests, expiresAt }, bounds))
    return guests.map(({ account }) => account)
  }

  /** Tells the link as soon as the file is stored, because it works from then on. */
  note(event: SendEvent): void {
    if (event.type !== 'notification' || event.notification.notification !== 'stored') return
    // Its failure is reported by `settle`.
    this.#tell(event.notification.transferId).catch(() => {})
  }

  /**
   * The outcome with its link. Once the caller knows the end of the transfer, the same call makes another link.
   *
   * @throws errors of the file system when the link cannot be kept
   */
  async settle(outcome: SendOutcome): Promise<SendOutcome> {
    const isStored = outcome.outcome !== 'refused' && outcome.outcome !== 'no-answer'
    if (!isStored) return outcome
    const link = await this.#tell(outcome.transferId)
    if (outcome.outcome !== 'undelivered') await this.#change({ isOver: true })
    return { ...outcome, link }
  }

  /** Keeps the link under its transfer, and tells it once. */
  #tell(transferId: string): Promise<string> {
    this.#told ??= this.#keep(transferId)
    return this.#told
  }

  async #keep(transferId: string): Promise<string> {
    const { connection, self, onEvent } = this.#asked
    if (this.#record === null || self.keys === null) throw new Error('the link is not made yet')
    const link = linkText(connection.portalUrl, this.#record, await fingerprintOf(self.keys.publicKeys))
    try {
      await this.#change({ transferId })
    } finally {
      onEvent({ type: 'link', transferId, link, expiresAt: this.#record.expiresAt })
    }
    return link
  }

  async #change(change: Partial<LinkRecord>): Promise<void> {
    const record = this.#record
    if (record === null) return
    this.#record = { ...record, ...change }
    await this.#records.write(linkRecordName(record), this.#record)
  }

  /** @returns the record of an earlier, unfinished call; null when there is none. Removes records of links that no longer work */
  async #known(file: LinkedFile, limits: Limits): Promise<LinkRecord | null> {
    const call = this.#call(file)
    let found: LinkRecord | null = null
    for (const [name, record] of await this.#records.all()) {
      if (Date.parse(record.expiresAt) <= timeOf(limits)) await this.#records.remove(name)
      else if (!record.isOver && record.call === call && isFor(record, file)) found = record
    }
    if (found === null) return null
    // A crash came between the end of the transfer and the note of it here.
    if (found.transferId !== null && !(await this.#isUnderWay(file, found))) {
      await this.#records.write(linkRecordName(found), { ...found, isOver: true })
      return null
    }
    await this.#requirePassphraseOf(found)
    return found
  }

  async #isUnderWay({ place, name }: LinkedFile, { guests }: LinkRecord): Promise<boolean> {
    const { connection, self, to } = this.#asked
    const all = [...new Set([...to, ...guests.map(({ account }) => account)])].sort()
    const about = { portalUrl: connection.stateUrl, account: self.account, place, name, to: all, isSealed: true }
    return (await new FileJournal(stateFolder()).read(about)) !== null
  }

  /** @throws Problem `options-invalid` */
  async #requirePassphraseOf({ secret, guests: [first] }: LinkRecord): Promise<void> {
    const { passphrase } = this.#asked.link
    if (passphrase === undefined) return
    const { account } = await guestOf(secret, 1, await passphraseKeyOf(secret, passphrase))
    if (account === first?.account) return
    throw optionsInvalid(
      'this call has begun a link with another passphrase: give the same one, or cancel its transfer first',
    )
  }

  async #make(file: LinkedFile, limits: Limits): Promise<LinkRecord> {
    const { connection, self, link } = this.#asked
    const { takes = 1, expiryMs, passphrase } = link
    const expiresAt = linkExpiry(limits, expiryMs)
    const secret = newLinkSecret()
    const passphraseKey = passphrase === undefined ? null : await passphraseKeyOf(secret, passphrase)
    const guests: NewGuest[] = []
    for (let index = 1; index <= takes; index++) guests.push(newGuestOf(await guestOf(secret, index, passphraseKey)))
    const record: LinkRecord = {
      portalUrl: connection.stateUrl,
      account: self.account,
      call: this.#call(file),
      source: file.identity,
      secret,
      hasPassphrase: passphrase !== undefined,
      guests,
      expiresAt,
      transferId: null,
      isOver: false,
    }
    await this.#records.write(linkRecordName(record), record)
    return record
  }

  #call({ place, name }: LinkedFile): string {
    const { connection, self, to, link } = this.#asked
    const { takes = 1, expiryMs = null, passphrase } = link
    const receivers = [...new Set(to)].sort()
    const given = [place, name, receivers, takes, expiryMs, passphrase !== undefined]
    return recordNameOf(connection.stateUrl, self.account, ...given)
  }
}

function isFor({ source }: LinkRecord, { identity }: LinkedFile): boolean {
  return source !== null && identity !== null && isSameSource(source as SourceIdentity, identity)
}

/** @returns the link of a transfer that this machine has sent; null when there is none, or when it has expired */
export async function linkOfTransfer(
  { portalUrl, stateUrl }: Pick<Connection, 'portalUrl' | 'stateUrl'>,
  { account, keys }: KnownSelf,
  transferId: string,
): Promise<{ link: string; expiresAt: string } | null> {
  if (keys === null) return null
  for (const record of (await linkRecords().all()).values()) {
    const isIt = record.transferId === transferId && record.portalUrl === stateUrl && record.account === account
    if (!isIt || Date.parse(record.expiresAt) <= Date.now()) continue
    return { link: linkText(portalUrl, record, await fingerprintOf(keys.publicKeys)), expiresAt: record.expiresAt }
  }
  return null
}

function linkText(portalUrl: string, { secret, hasPassphrase }: LinkRecord, fingerprint: string): string {
  return linkOf({ kind: 'send', portalUrl, secret, fingerprint, hasPassphrase })
}
