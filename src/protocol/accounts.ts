/** Messages about accounts: invites, joining, names and keys. */
import * as Type from 'typebox'
import { GuestStatus } from './guests.ts'
import { AccountName, closed, PublicKeys, TOKEN } from './messages.ts'

const INVITE = '^gli_[A-Za-z0-9_-]{43}$'

/** Whether a text has the form of an invite. */
export const isInvite = (text: string): boolean => new RegExp(INVITE).test(text)

/** Body of `POST /v1/join`. The joining client makes the token, so that it can repeat the request after a lost answer. */
export const JoinRequest = Type.Object(
  {
    invite: Type.String({ pattern: INVITE }),
    token: Type.String({ pattern: TOKEN }),
  },
  closed,
)
export type JoinRequest = Type.Static<typeof JoinRequest>

/** Body of `POST /v1/invite`, which looks an invite up without using it. */
export const InviteQuestion = Type.Object({ invite: Type.String({ pattern: INVITE }) }, closed)
export type InviteQuestion = Type.Static<typeof InviteQuestion>

/** Answer of `POST /v1/invite`: the account that the invite creates or renews. */
export const InviteStatus = Type.Object({ account: AccountName, isRenewal: Type.Boolean() })
export type InviteStatus = Type.Static<typeof InviteStatus>

export const AccountStatus = Type.Object({ account: AccountName })
export type AccountStatus = Type.Static<typeof AccountStatus>

/** An account and its public keys, which are null until it has set some. */
export const AccountWithKeys = Type.Object({
  account: AccountName,
  keys: Type.Union([PublicKeys, Type.Null()]),
  /** Present only in the account's own answer, when the account may ask for `GET /v1/operations`. */
  isOperator: Type.Optional(Type.Boolean()),
  /** Present only in the account's own answer, when it is a guest. */
  guest: Type.Optional(GuestStatus),
})
export type AccountWithKeys = Type.Static<typeof AccountWithKeys>
