// @tier stress
/** Neither an answer nor its duration reveals what was wrong with a token or an invite. */
import { join as joinPath } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { authenticate, invite, join, renew } from '../../../src/portal/accounts/accounts.ts'
import type { Ledger } from '../../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../../src/portal/ledger/sqlite.ts'
import { newInvite, newToken, type Problem } from '../../../src/protocol/index.ts'
import { testFolder } from '../../suites/folder.ts'
import { randomInt } from '../../suites/random.ts'
import { type Answer, refusalOf, TestPortal } from '../portal.ts'

const LIFETIME_MS = 60_000
/** The largest allowed ratio of two medians. A portal that skips a look-up in the ledger exceeds it several times over. */
const RATIO_MAX = 1.25
const ROUNDS = 1_500
const WARM_UP_ROUNDS = 300
/** A busy machine can spoil one measurement. A real difference shows in every measurement. */
const MEASUREMENTS_MAX = 4

/** The answer without its date, which differs between any two answers. */
function bytesOf({ status, headers: { date: _, ...headers }, body }: Answer): string {
  return JSON.stringify([status, headers, body.toString('latin1')])
}

/** Changes the last letter of a secret. */
function bent(secret: string): string {
  return `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`
}

/** One example of each way in which authentication can fail. */
function wrongCredentials(valid: string, revoked: string): Record<string, string> {
  return {
    'another form': 'Bearer nonsense',
    'too long': `Bearer ${valid}${'x'.repeat(500)}`,
    'unknown token': `Bearer ${newToken()}`,
    'wrong secret': `Bearer ${bent(valid)}`,
    'revoked account': `Bearer ${revoked}`,
    'wrong secret of a revoked account': `Bearer ${bent(revoked)}`,
  }
}

/** Invites that the portal refuses, each for another reason. */
async function wrongInvites(ledger: Ledger): Promise<Record<string, string>> {
  const token = newToken()
  const used = await invite(ledger, 'used', LIFETIME_MS)
  await join(ledger, { invite: used, token })
  const renewed = await renew(ledger, 'used', LIFETIME_MS)
  await renew(ledger, 'used', LIFETIME_MS)
  return { unknown: newInvite(), used, 'run out': await invite(ledger, 'late', 0), replaced: renewed }
}

test('every failure of authentication gets the same answer, byte for byte', async () => {
  const portal = await TestPortal.start()
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  const answers = new Map<string, string>()
  for (const [what, authorization] of Object.entries(wrongCredentials(portal.token('alice'), portal.token('bob')))) {
    const answer = await portal.ask('GET', '/v1/account', { headers: { authorization } })
    expect(refusalOf(answer), what).toBe('401 credentials-invalid')
    answers.set(what, bytesOf(answer))
  }
  expect(new Set(answers.values()).size, [...answers].join('\n')).toBe(1)
})

test('all unusable invites get the same answer, byte for byte', async () => {
  const portal = await TestPortal.start()
  const invites = await portal.operate(wrongInvites)
  const answers = new Map<string, string>()
  for (const [what, wrong] of Object.entries(invites)) {
    const answer = await portal.ask('POST', '/v1/join', { body: { invite: wrong, token: newToken() } })
    expect(refusalOf(answer), what).toBe('404 invite-invalid')
    answers.set(what, bytesOf(answer))
    // A request that only looks at the invite reveals no more.
    const looked = await portal.ask('POST', '/v1/invite', { body: { invite: wrong } })
    answers.set(`${what}, looked at`, bytesOf(looked))
  }
  expect(new Set(answers.values()).size, [...answers].join('\n')).toBe(1)
})

async function ledgerOnDisk(): Promise<Ledger> {
  const ledger = await sqliteLedger({ path: joinPath(await testFolder({ inMemory: true }), 'ledger.sqlite') })
  onTestFinished(() => ledger.close())
  return ledger
}

/**
 * The median time that each of these requests takes to fail, in microseconds. Each round runs them in a new random order, so that
 * other load on the machine affects all of them alike.
 */
async function mediansUs(ways: Record<string, () => Promise<unknown>>): Promise<Map<string, number>> {
  const taken = new Map(Object.keys(ways).map((what) => [what, [] as number[]]))
  const order = Object.entries(ways)
  for (let round = -WARM_UP_ROUNDS; round < ROUNDS; round++) {
    shuffle(order)
    for (const [what, fail] of order) {
      const begunAt = process.hrtime.bigint()
      const problem = await fail().then(
        () => null,
        (error: Problem) => error,
      )
      const tookUs = Number(process.hrtime.bigint() - begunAt) / 1000
      if (problem === null) throw new Error(`${what}: did not fail`)
      if (round >= 0) taken.get(what)?.push(tookUs)
    }
  }
  return new Map([...taken].map(([what, times]) => [what, times.sort((a, b) => a - b)[times.length >> 1] ?? 0]))
}

function shuffle(list: unknown[]): void {
  for (let at = list.length - 1; at > 0; at--) {
    const other = randomInt(at + 1)
    ;[list[at], list[other]] = [list[other], list[at]]
  }
}

/** Measures until all requests take about the same time. Fails when they still differ after the last measurement. */
async function expectAlike(ways: Record<string, () => Promise<unknown>>): Promise<void> {
  let medians = new Map<string, number>()
  for (let tries = 0; tries < MEASUREMENTS_MAX; tries++) {
    medians = await mediansUs(ways)
    if (Math.max(...medians.values()) / Math.min(...medians.values()) <= RATIO_MAX) return
  }
  expect.fail(`the medians differ too much, in microseconds:\n${[...medians].join('\n')}`)
}

test('every failure of authentication takes the same time', async () => {
  const ledger = await ledgerOnDisk()
  const [valid, revoked] = [newToken(), newToken()]
  await join(ledger, { invite: await invite(ledger, 'alice', LIFETIME_MS), token: valid })
  await join(ledger, { invite: await invite(ledger, 'bob', LIFETIME_MS), token: revoked })
  await ledger.revokeAccount('bob')
  const ways = Object.entries(wrongCredentials(valid, revoked)).map(([what, authorization]) => [
    what,
    () => authenticate(ledger, authorization),
  ])
  await expectAlike(Object.fromEntries(ways))
})

test('every unusable invite takes the same time', async () => {
  const ledger = await ledgerOnDisk()
  const ways = Object.entries(await wrongInvites(ledger)).map(([what, wrong]) => [
    what,
    () => join(ledger, { invite: wrong, token: newToken() }),
  ])
  await expectAlike(Object.fromEntries(ways))
})
