/** Account management for operators, in the process of the portal or in another one. */
import { checkOptions, isGuestName, optionsInvalid, Problem, requireAccountName } from '../../protocol/index.ts'
import type { AccountRecord } from '../ledger/accounts-contract.ts'
import type { Ledger } from '../ledger/contract.ts'
import type { GuestCensus } from '../ledger/guests-contract.ts'
import { portalDefaults } from '../options.ts'
import { invite, renew } from './accounts.ts'

/** How many names are read from the ledger at a time. */
const PAGE = 500

/** An account, or a name that was invited and has not joined yet. */
export interface AccountSummary {
  readonly account: string
  readonly state: 'active' | 'revoked' | 'invited'
  readonly isOperator: boolean
  /** When the account was opened, RFC 3339; null for a name that has not joined yet. */
  readonly since: string | null
  readonly revokedAt: string | null
  /** The number of transfers that it sends and that have not ended, and their bytes. */
  readonly openTransfers: number
  readonly openBytes: number
  /** Until when a link can open or renew it; null when there is no link. */
  readonly linkUntil: string | null
}

/** Settings for links. */
export interface LinkOptions {
  /** Address of the portal; null for the one that the portal has recorded in the ledger. */
  readonly publicUrl: string | null
  readonly inviteMs?: number
  readonly invitesMax?: number
}

export class AccountAdmin {
  readonly #ledger: Ledger
  readonly #links: LinkOptions

  constructor(ledger: Ledger, links: LinkOptions) {
    this.#ledger = ledger
    this.#links = links
  }

  /**
   * Makes a link with which an account joins. It works once, within 24 hours.
   *
   * @param options `isOperator`: the account may see the state of the whole portal
   * @throws Problem `account-exists`, `account-revoked`, `too-many-invites`; `setting-impossible` when the address of the portal is
   *   not known
   */
  async invite(name: string, options: { readonly isOperator?: boolean } = {}): Promise<string> {
    checkOptions('invite()', options, { isOperator: 'flag?' })
    requireAccountName(name)
    if (isGuestName(name)) throw optionsInvalid(`'${name}' is the name of a guest: such a name comes with a link`)
    const { inviteMs = portalDefaults.inviteMs, invitesMax: openMax = portalDefaults.invitesMax } = this.#links
    return this.#link(() => invite(this.#ledger, name, inviteMs, { openMax, ...options }))
  }

  /**
   * Makes a link that replaces the token of an account, and brings a revoked one back.
   *
   * @throws Problem `account-unknown`; `setting-impossible` when the address of the portal is not known
   */
  async renew(name: string): Promise<string> {
    requireAccountName(name)
    return this.#link(() => renew(this.#ledger, name, this.#links.inviteMs ?? portalDefaults.inviteMs))
  }

  /** Revokes an account at once. @throws Problem `account-unknown` */
  async revoke(name: string): Promise<void> {
    requireAccountName(name)
    await this.#ledger.revokeAccount(name)
  }

  /** Allows an account to see the state of the whole portal, or takes that right away. @throws Problem `account-unknown` */
  async setOperator(name: string, isOperator: boolean): Promise<void> {
    requireAccountName(name)
    await this.#ledger.setOperator(name, isOperator)
  }

  /** Accounts and open invites, in the order of their names. */
  async list(): Promise<AccountSummary[]> {
    const accounts = await allPages((after) => this.#ledger.accounts({ after, limit: PAGE }))
    const invites = await allPages((after) => this.#ledger.openInvites({ after, limit: PAGE }))
    const linkUntil = new Map(invites.map(({ name, expiresAtMs }) => [name, timestamp(expiresAtMs)]))
    const lines = accounts.map((account): AccountSummary => {
      const link = linkUntil.get(account.name) ?? null
      linkUntil.delete(account.name)
      return summaryOf(account, link)
    })
    for (const [account, link] of linkUntil) {
      const nothing = { since: null, revokedAt: null, isOperator: false, openTransfers: 0, openBytes: 0 }
      lines.push({ account, state: 'invited', ...nothing, linkUntil: link })
    }
    return lines.sort((one, other) => (one.account < other.account ? -1 : 1))
  }

  /** Counts the guests whose tokens are valid, and the open requests for files. They are no accounts of people. */
  guests(): Promise<GuestCensus> {
    return this.#ledger.guestCensus()
  }

  /** The secret stands behind the `#`, which browsers send to no server. The address is looked up first, so that without one no secret is made. */
  async #link(makeSecret: () => Promise<string>): Promise<string> {
    const url = this.#links.publicUrl ?? (await this.#ledger.address())
    if (url !== null) return `${url}/join#${await makeSecret()}`
    const detail =
      'the address of this portal is not known yet: the portal notes it when it listens for the first time.\n' +
      'Start the portal, or give the address that it will have: --public-url https://files.example'
    throw new Problem('setting-impossible', { detail })
  }
}

function summaryOf(
  { name, createdAtMs, revokedAtMs, isOperator, openTransfers, openBytes }: AccountRecord,
  link: string | null,
): AccountSummary {
  return {
    account: name,
    state: revokedAtMs === null ? 'active' : 'revoked',
    isOperator,
    since: timestamp(createdAtMs),
    revokedAt: revokedAtMs === null ? null : timestamp(revokedAtMs),
    openTransfers,
    openBytes,
    linkUntil: link,
  }
}

async function allPages<Row extends { readonly name: string }>(
  page: (after: string) => Promise<Row[]>,
): Promise<Row[]> {
  const all: Row[] = []
  while (true) {
    const rows = await page(all.at(-1)?.name ?? '')
    all.push(...rows)
    if (rows.length < PAGE) return all
  }
}

function timestamp(ms: number): string {
  return new Date(ms).toISOString()
}
