/** `/v1/account/keys`, `/v1/accounts/{name}`: the public keys of accounts. */
import { Type } from 'typebox'
import {
  AccountName,
  AccountWithKeys,
  guestKinds,
  Problem,
  PublicKeys,
  secretsBodyBytesMax,
} from '../../../protocol/index.ts'
import type { Caller } from '../../accounts/accounts.ts'
import { guestStatus } from '../../accounts/guests.ts'
import { type App, accountOf, audit, type Services } from '../app.ts'

const tags = ['accounts']

export function keyRoutes(app: App, services: Services): void {
  const { ledger } = services.context
  const find = async (name: string) => {
    const account = await ledger.accountByName(name)
    if (account === null) throw unknown(name)
    return account
  }
  const own = async ({ name, accountId, guest }: Caller): Promise<AccountWithKeys> => {
    const { isOperator, keys } = await find(name)
    const known = guest === null ? {} : await guestStatus(services.context, accountId)
    return { account: name, keys, ...(isOperator ? { isOperator } : {}), ...known }
  }

  app.get(
    '/v1/account',
    {
      schema: {
        operationId: 'getAccount',
        summary: 'The account of the token',
        tags,
        response: { 200: AccountWithKeys },
        problems: ['receiver-unknown'],
      },
      config: { guests: guestKinds },
    },
    (request) => own(accountOf(request)),
  )

  app.put(
    '/v1/account/keys',
    {
      bodyLimit: secretsBodyBytesMax,
      schema: {
        operationId: 'setKeys',
        summary: 'Set the public keys of the account, in place of those it had',
        tags,
        body: PublicKeys,
        response: { 200: AccountWithKeys },
        problems: ['receiver-unknown'],
      },
    },
    async (request) => {
      const account = accountOf(request)
      const change = await ledger.setKeys(account.accountId, request.body)
      if (change !== 'same') audit(services, request, `keys-${change}`, account.name)
      return own(account)
    },
  )

  app.get(
    '/v1/accounts/:name',
    {
      schema: {
        operationId: 'getOtherAccount',
        summary: 'Another account and its public keys. Guests and their owner know only each other',
        tags,
        params: Type.Object({ name: AccountName }),
        response: { 200: AccountWithKeys },
        problems: ['receiver-unknown'],
      },
      config: { guests: guestKinds },
    },
    async (request): Promise<AccountWithKeys> => {
      const { name } = request.params
      const account = await find(name)
      if (!areAcquainted(accountOf(request), account)) throw unknown(name)
      return { account: name, keys: account.keys }
    },
  )
}

/** Whether an account may know another one: a guest knows only its owner, and only its owner knows a guest. */
function areAcquainted(caller: Caller, other: Caller): boolean {
  if (caller.guest !== null) return caller.guest.ownerId === other.accountId
  return other.guest === null || other.guest.ownerId === caller.accountId
}

function unknown(name: string): Problem {
  return new Problem('receiver-unknown', { receivers: [name] })
}
