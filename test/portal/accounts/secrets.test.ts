/** A token identifies the account, and an account sees only its own transfers. The portal writes no secret down. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import pino from 'pino'
import { expect, test } from 'vitest'
import { newInvite, newToken, newTransferId } from '../../../src/protocol/index.ts'
import { announcement, instance, manifestDigest, partSizeBytes, refusalOf, sha256, TestPortal } from '../portal.ts'

const content = Buffer.alloc(partSizeBytes + 5, 'a secret ')

/** Every request that names a transfer, correct in everything except the account that asks. */
function requestsAbout(transferId: string, leaseId: string): [method: string, path: string, body?: unknown][] {
  const lease = `?lease=${leaseId}`
  return [
    ['GET', `/v1/transfers/${transferId}`],
    ['GET', `/v1/transfers/${transferId}/events`],
    ['POST', `/v1/transfers/${transferId}/complete`, { manifestDigest: manifestDigest(content), attempt: 1 }],
    ['DELETE', `/v1/transfers/${transferId}`],
    ['GET', `/v1/inbox/${transferId}${lease}`],
    ['GET', `/v1/inbox/${transferId}/parts/1${lease}`],
    [
      'POST',
      `/v1/inbox/${transferId}/disposition`,
      { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) },
    ],
  ]
}

test('without a valid token the answer reveals nothing', async () => {
  const portal = await TestPortal.start()
  const alice = portal.token('alice')
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const without: Record<string, string>[] = [
    {},
    { authorization: '' },
    { authorization: alice },
    { authorization: `Basic ${alice}` },
    { authorization: 'Bearer ' },
  ]
  const wrong: Record<string, string>[] = [
    { authorization: 'Bearer nonsense' },
    { authorization: `Bearer ${newToken()}` },
    { authorization: `Bearer ${alice.slice(0, -1)}${alice.endsWith('A') ? 'B' : 'A'}` },
    { authorization: `Bearer ${alice} x` },
    { authorization: `Bearer ${'x'.repeat(5000)}` },
    { authorization: `Bearer ${alice.slice(0, 20)}' or '1'='1` },
  ]
  const places: [method: string, path: string, body?: unknown][] = [
    ...requestsAbout(transferId, leaseId),
    ...requestsAbout(newTransferId(), leaseId),
    ['GET', '/v1/account'],
    ['GET', '/v1/transfers'],
    ['GET', '/v1/events'],
    ['GET', `/v1/inbox?instance=${instance}`],
    ['PUT', `/v1/transfers/${newTransferId()}`, announcement(5)],
  ]
  const answersTo = async (credentials: Record<string, string>[], refusal: string, challenge: string) => {
    const answers = new Set<string>()
    for (const [method, path, body] of places) {
      for (const headers of credentials) {
        const answer = await portal.ask(method, path, { headers, body })
        expect(refusalOf(answer), `${method} ${path} ${JSON.stringify(headers)}`).toBe(refusal)
        expect(answer.headers['www-authenticate']).toBe(challenge)
        answers.add(answer.body.toString())
      }
    }
    return answers
  }
  // RFC 6750 section 3.1: where no token came, no error is named.
  expect((await answersTo(without, '401 credentials-missing', 'Bearer')).size, 'all look alike').toBe(1)
  const challenge = 'Bearer error="invalid_token"'
  expect((await answersTo(wrong, '401 credentials-invalid', challenge)).size, 'all look alike').toBe(1)
})

test('transfers of others look as if they did not exist', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  const ask = async (name: string, [method, path, body]: [string, string, unknown?]): Promise<string> => {
    const answer = await portal.ask(method, path, { token: portal.token(name), body })
    refusalOf(answer)
    return answer.body.toString()
  }
  const real = requestsAbout(transferId, leaseId)
  const invented = requestsAbout(newTransferId(), leaseId)
  for (const [index, request] of real.entries()) {
    const nothing = await ask('carol', invented[index] ?? request)
    expect(JSON.parse(nothing).code).toBe('not-found')
    expect(await ask('carol', request), `carol: ${request[0]} ${request[1]}`).toBe(nothing)
    // A receiver may not make the sender's requests, nor the sender the receiver's.
    const stranger = request[1].startsWith('/v1/inbox') ? 'alice' : 'bob'
    expect(await ask(stranger, request), `${stranger}: ${request[0]} ${request[1]}`).toBe(nothing)
  }
  const part = { token: portal.token('bob'), headers: { 'content-length': '5' }, body: 'aaaaa' }
  expect(refusalOf(await portal.ask('PUT', `/v1/transfers/${transferId}/parts/1`, part))).toBe('404 not-found')
  expect(await portal.client('alice').transfer(transferId), 'nothing came of all that').toMatchObject({
    state: 'stored',
    deliveries: [{ state: 'offered' }],
  })
  for (const name of ['bob', 'carol']) {
    expect((await portal.client(name).events()).events).toEqual([])
    expect((await portal.client(name).transfers()).transfers).toEqual([])
  }
})

test('an id that another account has used is refused, and the answer reveals nothing about its transfer', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  const body = announcement(content.length)
  const answer = await portal.ask('PUT', `/v1/transfers/${transferId}`, { token: portal.token('carol'), body })
  expect(refusalOf(answer)).toBe('409 transfer-conflict')
  expect(answer.body.toString()).not.toMatch(/alice|bob|plan/)
})

test('tokens and invites appear neither in the ledger nor in the log', async () => {
  const lines: string[] = []
  const log = pino(
    { level: 'debug' },
    new Writable({
      write(line, _encoding, done) {
        lines.push(String(line))
        done()
      },
    }),
  )
  const portal = await TestPortal.start({}, { log })
  const invite = await TestPortal.invite(portal.dataFolder, 'dora')
  const token = newToken()
  expect((await portal.ask('POST', '/v1/join', { body: { invite, token } })).status).toBe(200)
  const unused = await TestPortal.invite(portal.dataFolder, 'erik')
  // The portal logs failed requests, but without their secrets.
  const transferId = await portal.store(content)
  for (const [method, path, body] of requestsAbout(transferId, 'l'.repeat(24))) {
    await portal.ask(method, path, { token, body })
  }
  await portal.ask('POST', '/v1/join', { body: { invite, token: 5 } })
  await portal.ask('GET', '/v1/account', { token: `${token}x` })

  const secrets = [invite, unused, token, ...Object.values(portal.tokens)].flatMap((secret) => {
    // The first part of a token only identifies the account. The rest is secret.
    const bare = secret.startsWith('glt_') ? secret.slice(-43) : secret.slice('gli_'.length)
    return [bare, Buffer.from(bare, 'base64url').toString('hex'), Buffer.from(bare, 'base64url').toString('latin1')]
  })
  const files = (await readdir(portal.dataFolder)).filter((name) => name.startsWith('ledger.sqlite'))
  expect(files.length).toBeGreaterThan(0)
  const texts = await Promise.all(files.map((name) => readFile(join(portal.dataFolder, name), 'latin1')))
  expect(texts.join(''), 'the ledger was looked at where it has been written to').toContain('dora')
  for (const event of ['invite-redeemed', 'authentication-failed', 'access-denied']) {
    expect(lines.join('')).toContain(`"audit":"${event}"`)
  }
  for (const hash of [invite, token, `${token}x`].map((secret) => sha256(Buffer.from(secret)))) {
    expect(lines.join('').includes(hash), 'the log has not even hashes').toBe(false)
  }
  for (const secret of secrets) {
    for (const text of [...texts, lines.join('')]) expect(text.includes(secret)).toBe(false)
  }
})

test('an invite creates one account, once; the same answer can be requested again', async () => {
  const portal = await TestPortal.start()
  const invite = await TestPortal.invite(portal.dataFolder, 'dora')
  const token = newToken()
  const join = (body: unknown) => portal.ask('POST', '/v1/join', { body })
  for (let time = 0; time < 3; time++) {
    expect(JSON.parse((await join({ invite, token })).body.toString())).toEqual({ account: 'dora' })
  }
  expect(JSON.parse((await portal.ask('GET', '/v1/account', { token })).body.toString())).toEqual({
    account: 'dora',
    keys: null,
  })
  expect(refusalOf(await join({ invite, token: newToken() })), 'used up').toBe('404 invite-invalid')
  expect(refusalOf(await join({ invite: newInvite(), token })), 'unknown').toBe('404 invite-invalid')
  for (const body of [
    {},
    { invite },
    { token },
    { invite: 'gli_', token },
    { invite, token: 'x' },
    { invite, token, name: 'eve' },
  ]) {
    expect(refusalOf(await join(body))).toBe('400 request-invalid')
  }
})

test('of two invites for one name only the first use succeeds', async () => {
  const portal = await TestPortal.start()
  const invites = [
    await TestPortal.invite(portal.dataFolder, 'dora'),
    await TestPortal.invite(portal.dataFolder, 'dora'),
  ]
  const answers = await Promise.all(
    invites.map((invite) => portal.ask('POST', '/v1/join', { body: { invite, token: newToken() } })),
  )
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 404])
  await expect(TestPortal.invite(portal.dataFolder, 'dora')).rejects.toMatchObject({ code: 'account-exists' })
})

test('an expired invite creates nothing', async () => {
  const portal = await TestPortal.start()
  const invite = await TestPortal.invite(portal.dataFolder, 'dora', 0)
  const answer = await portal.ask('POST', '/v1/join', { body: { invite, token: newToken() } })
  expect(refusalOf(answer)).toBe('404 invite-invalid')
})

test('two accounts cannot have the same token', async () => {
  const portal = await TestPortal.start()
  const invite = await TestPortal.invite(portal.dataFolder, 'dora')
  const answer = await portal.ask('POST', '/v1/join', { body: { invite, token: portal.token('alice') } })
  expect(answer.status).toBeLessThan(500)
  refusalOf(answer)
  const account = await portal.ask('GET', '/v1/account', { token: portal.token('alice') })
  expect(JSON.parse(account.body.toString())).toEqual({ account: 'alice', keys: null })
})
