/** An account or a JSON member may be called `constructor` or `__proto__`. The portal never mistakes inherited properties for data. */
import { expect, test } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { adviceForReceiver, adviceForSender } from '../../../src/page/model/advice.ts'
import { conforms, DeliveryPage, newToken, newTransferId, Problem, wrappedKeyOf } from '../../../src/protocol/index.ts'
import { announcement, manifestDigest, partSizeBytes, refusalOf, TestPortal } from '../portal.ts'

const names = ['constructor', 'tostring', 'valueof', 'hasownproperty']
const wrapped = 'A'.repeat(107)
const content = Buffer.alloc(partSizeBytes, 'named ')

/** Opens an account with that name. @returns its token */
async function join(portal: TestPortal, name: string): Promise<string> {
  const token = newToken()
  const client = new PortalClient(nodeTransport(portal.url), null)
  await client.join({ invite: await TestPortal.invite(portal.dataFolder, name), token })
  await client.close()
  return token
}

test.each(names)('%s sees its deliveries, also where nothing was sealed for it', async (name) => {
  const portal = await TestPortal.start()
  const token = await join(portal, name)
  await portal.operate(async (ledger) => {
    const [alice, account] = [await ledger.accountByName('alice'), await ledger.accountByName(name)]
    if (alice === null || account === null) throw new Error('they have no account')
    // A portal that did not yet check the keys may have stored such an announcement.
    const metadata = { sealed: 's'.repeat(80), keys: { alice: wrapped } }
    const transfer = {
      ...announcement(5),
      to: [name],
      metadata,
      transferId: newTransferId(),
      senderId: alice.accountId,
    }
    const bounds = {
      accountBytesMax: 1e9,
      accountTransfersMax: 9,
      accountUploadsMax: 9,
      accountGuestsMax: 1000,
      accountGuestBytesMax: 1e12,
      storageBytesMax: 1e9,
      freeBytes: null,
    }
    await ledger.announce(transfer, { expiryMs: 60_000, uploadTimeoutMs: 60_000, ...bounds })
  })
  const sealed = { sealed: 's'.repeat(80), keys: { alice: wrapped, [name]: wrapped } }
  const body = { ...announcement(5), to: [name], metadata: sealed }
  const answer = await portal.ask('PUT', `/v1/transfers/${newTransferId()}`, { token: portal.token('alice'), body })
  expect(answer.status).toBe(201)
  const page: unknown = JSON.parse((await portal.ask('GET', '/v1/deliveries', { token })).body.toString())
  if (!conforms(DeliveryPage, page)) throw new Error('not as documented')
  expect(page.deliveries.map(({ metadata }) => wrappedKeyOf(metadata, name))).toEqual([wrapped, undefined])
  expect(page.deliveries[0]?.metadata).toEqual({ sealed: 's'.repeat(80), keys: { [name]: wrapped } })
})

test('a receiver’s problem with members of such names reaches the sender unchanged', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const members = { constructor: 'a', toString: 1, valueOf: null, hasOwnProperty: [], toJSON: { a: 1 } }
  const problem = { ...new Problem('write-failed').toJSON(), ...members }
  expect(await portal.dispose(transferId, { leaseId, disposition: 'refused', problem })).toBe('failed')
  const { notifications, deliveries } = await portal.client('alice').transfer(transferId)
  expect(notifications.at(-1)).toMatchObject({ notification: 'failed', problem })
  expect(deliveries[0]?.problem).toEqual(problem)
})

/** A valid body as text, once for each object within it, with that member added to this object. */
function withMember(body: object, member: string): string[] {
  const text = JSON.stringify(body)
  return [...text.matchAll(/\{/g)].map(({ index }) => `${text.slice(0, index + 1)}${member},${text.slice(index + 1)}`)
}

test('a body with a member for the prototype is refused, at any depth, and changes nothing', async () => {
  const portal = await TestPortal.start()
  const stored = await portal.store(content)
  const { leaseId } = await portal.offerOf(stored)
  const keys = { alice: wrapped, bob: wrapped }
  const plain = announcement(5)
  const sealed = { ...plain, metadata: { sealed: 's'.repeat(80), keys } }
  const disposition = { leaseId, disposition: 'refused', problem: new Problem('write-failed').toJSON() }
  const whole = { ...sealed, manifestDigest: manifestDigest(content) }
  const places: [method: string, path: () => string, body: object, who: string, rest?: string][] = [
    ['POST', () => '/v1/join', { invite: `gli_${'i'.repeat(43)}`, token: newToken() }, 'alice'],
    ['POST', () => '/v1/invite', { invite: `gli_${'i'.repeat(43)}` }, 'alice'],
    ['PUT', () => '/v1/account/keys', { signing: 'A'.repeat(43), encryption: 'A'.repeat(43) }, 'alice'],
    ['PUT', () => `/v1/transfers/${newTransferId()}`, plain, 'alice'],
    ['PUT', () => `/v1/transfers/${newTransferId()}`, sealed, 'alice'],
    ['PUT', () => `/v1/transfers/${newTransferId()}/whole`, whole, 'alice', '\nnamed'],
    [
      'POST',
      () => `/v1/transfers/${stored}/complete`,
      { attempt: 1, manifestDigest: manifestDigest(content) },
      'alice',
    ],
    ['POST', () => `/v1/inbox/${stored}/disposition`, disposition, 'bob'],
  ]
  for (const [method, path, body, who, rest = ''] of places) {
    for (const member of ['"__proto__":{"isOperator":true}', '"__proto__":"A"', '"\\u005f_proto__":{}']) {
      for (const text of withMember(body, member)) {
        const headers = { 'content-type': rest === '' ? 'application/json' : 'application/octet-stream' }
        const answer = await portal.ask(method, path(), { token: portal.token(who), headers, body: text + rest })
        expect(refusalOf(answer), text).toBe('400 request-invalid')
      }
    }
  }
  expect(Object.keys(Object.prototype)).toEqual([])
  expect((await portal.client('bob').deliveries()).deliveries[0]).toMatchObject({ state: 'offered' })
})

test('a code that is a property name of JavaScript has no advice', () => {
  for (const code of ['constructor', 'valueof', 'tostring', '__proto__', 'hasownproperty']) {
    const problem = { type: 'urn:x', title: 'no', status: 500, code }
    expect(adviceForSender(problem, 'bob'), code).toBeNull()
    expect(adviceForReceiver(problem), code).toBeNull()
  }
  const declined = new Problem('declined').toJSON()
  expect(adviceForSender(declined, 'constructor')).toContain('Ask constructor')
})
