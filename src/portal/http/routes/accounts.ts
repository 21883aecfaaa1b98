/** `/v1/account/keys`, `/v1/accounts/{name}`: the public keys of accounts. */
import { Type } from 'typebox'
import { AccountName, AccountWithKeys, Problem, PublicKeys, secretsBodyBytesMax } from '../../../protocol/index.ts'
import type { Account } from '../../ledger/contract.ts'
import { type App, accountOf, audit, type Services } from '../app.ts'

const tags = ['accounts']

export function keyRoutes(app: App, services: Services): void {
  const { ledger } = services.context
  const find = async (name: string) => {
    const account = await ledger.accountByName(name)
    if (account === null) throw new Problem('receiver-unknown', { receivers: [name] })
    const { keys, isOperator } = account
    return { account: name, keys, isOperator }
  }
  const own = async (name: string): Promise<AccountWithKeys> => {
    const { isOperator, ...known } = await find(name)
    return isOperator ? { ...known, isOperator } : known
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
    },
    (request) => own(accountOf(request).name),
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
      const account: Account = accountOf(request)
      const change = await ledger.setKeys(account.accountId, request.body)
      if (change !== 'same') audit(services, request, `keys-${change}`, account.name)
      return own(account.name)
    },
  )

  app.get(
    '/v1/accounts/:name',
    {
      schema: {
        operationId: 'getOtherAccount',
        summary: 'Another account and its public keys',
        tags,
        params: Type.Object({ name: AccountName }),
        response: { 200: AccountWithKeys },
        problems: ['receiver-unknown'],
      },
    },
    async (request): Promise<AccountWithKeys> => {
      const { account, keys } = await find(request.params.name)
      return { account, keys }
    },
  )
}
