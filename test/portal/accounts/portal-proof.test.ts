/** `POST /v1/proof`: a portal proves that it knows a token, and what it is called, to nobody but who has the token. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { newToken } from '../../../src/protocol/index.ts'
import { type Answer, TestPortal } from '../portal.ts'

const challenge = randomBytes(32).toString('base64url')
const tokenIdOf = (token: string) => token.slice(4, 20)

/** By the words of PROTOCOL.md alone. */
function proofOf(token: string, portalUrl: string, asked = challenge): string {
  const key = createHash('sha256').update(token).digest()
  return createHmac('sha256', key).update(`golooader v1 portal proof\n${asked}\n${portalUrl}`).digest('base64url')
}

async function ask(portal: TestPortal, token: string, of = challenge) {
  const body = { tokenId: tokenIdOf(token), challenge: of }
  return jsonOf(await portal.ask('POST', '/v1/proof', { body }))
}

const jsonOf = ({ status, body }: Answer) => ({ status, json: JSON.parse(body.toString()) })

test('the proof is of the challenge, the token and the address in invites, and needs no token', async () => {
  const portal = await TestPortal.start()
  const token = portal.token('alice')
  const answer = await ask(portal, token)
  const portalUrl = portal.url
  expect(answer).toMatchObject({ status: 200, json: { portalUrl, proof: proofOf(token, portalUrl) } })
  expect((await ask(portal, token, 'A'.repeat(43))).json).toMatchObject({
    proof: proofOf(token, portalUrl, 'A'.repeat(43)),
  })
})

test('a token that the portal does not know, or accepts no longer, gets the answer of every wrong token', async () => {
  const portal = await TestPortal.start()
  expect((await ask(portal, portal.token('bob'))).status).toBe(200)
  const headers = { authorization: `Bearer ${newToken()}` }
  const wrong = jsonOf(await portal.ask('GET', '/v1/account', { headers }))
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  for (const token of [newToken(), portal.token('bob')]) {
    const answer = await ask(portal, token)
    expect(answer).toMatchObject({ status: 401, json: { code: 'credentials-invalid' } })
    expect(answer.json).toEqual(wrong.json)
  }
})
