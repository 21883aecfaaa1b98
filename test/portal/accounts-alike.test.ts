/** Nobody can tell by an answer, nor by the time it takes, what was wrong with a token or an invite. */
import { join as joinPath } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { authenticate, invite, join, renew } from '../../src/portal/accounts.ts'
import type { Ledger } from '../../src/portal/ledger/contract.ts'
import { sqliteLedger } from '../../src/portal/ledger/sqlite.ts'
import { newInvite, newToken, type Problem } from '../../src/protocol/index.ts'
import { testFolder } from '../suites/folder.ts'
import { randomInt } from '../suites/random.ts'
import { type Answer, refusalOf, TestPortal } from './portal.ts'

const LIFETIME_MS = 60_000
/** How far apart the medians may lie. Left out, a look-up in the ledger makes several times as much. */
const RATIO_MAX = 1.25
const ROUNDS = 1_500
const WARM_UP_ROUNDS = 300
/** The machine may be busy with something else for a while: what differs by itself differs every time. */
const MEASUREMENTS_MAX = 4

/** The answer without what differs between any two of the same: when it was given. */
function bytesOf({ status, headers: { date: _, ...headers }, body }: Answer): string {
  return JSON.stringify([status, headers, body.toString('latin1')])
}

/** Bends the last letter of a secret. */
function bent(secret: string): string {
  return `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`
}

/** One of each way in which authentication can fail. */
function wrongCredentials(valid: string, revoked: string): Record<string, string | undefined> {
  return {
    'no header': undefined,
    'another scheme': `Basic ${valid}`,
    'another form': 'Bearer nonsense',
    'too long': `Bearer ${valid}${'x'.repeat(500)}`,
    'unknown token': `Bearer ${newToken()}`,
    'wrong secret': `Bearer ${bent(valid)}`,
    'revoked account': `Bearer ${revoked}`,
    'wrong secret of a revoked account': `Bearer ${bent(revoked)}`,
  }
}

/** Invites that open nothing, each for another reason. */
async function wrongInvites(ledger: Ledger): Promise<Record<string, string>> {
  const token = newToken()
  const used = await invite(ledger, 'used', LIFETIME_MS)
  await join(ledger, { invite: used, token })
  const renewed = await renew(ledger, 'used', LIFETIME_MS)
  await renew(ledger, 'used', LIFETIME_MS)
  return { unknown: newInvite(), used, 'run out': await invite(ledger, 'late', 0), replaced: renewed }
}

test('every failure of authentication is the same answer, byte for byte', async () => {
  const portal = await TestPortal.start()
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  const answers = new Map<string, string>()
  for (const [what, authorization] of Object.entries(wrongCredentials(portal.token('alice'), portal.token('bob')))) {
    const headers = authorization === undefined ? {} : { authorization }
    const answer = await portal.ask('GET', '/v1/account', { headers })
    expect(refusalOf(answer), what).toBe('401 credentials-invalid')
    answers.set(what, bytesOf(answer))
  }
  expect(new Set(answers.values()).size, [...answers].join('\n')).toBe(1)
})

test('invites that open nothing all get the same answer, byte for byte', async () => {
  const portal = await TestPortal.start()
  const invites = await portal.operate(wrongInvites)
  const answers = new Map<string, string>()
  for (const [what, wrong] of Object.entries(invites)) {
    const answer = await portal.ask('POST', '/v1/join', { body: { invite: wrong, token: newToken() } })
    expect(refusalOf(answer), what).toBe('404 invite-invalid')
    answers.set(what, bytesOf(answer))
  }
  expect(new Set(answers.values()).size, [...answers].join('\n')).toBe(1)
})

async function ledgerOnDisk(): Promise<Ledger> {
  const ledger = await sqliteLedger({ path: joinPath(await testFolder({ inMemory: true }), 'ledger.sqlite') })
  onTestFinished(() => ledger.close())
  return ledger
}

/**
 * The medians of how long each of these takes to fail, in microseconds. They take turns in an order that is drawn anew
 * each time, so that whatever else the machine does meets all of them.
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

/** Measures until all take alike, or it is plain that they do not. */
async function expectAlike(ways: Record<string, () => Promise<unknown>>): Promise<void> {
  let medians = new Map<string, number>()
  for (let tries = 0; tries < MEASUREMENTS_MAX; tries++) {
    medians = await mediansUs(ways)
    if (Math.max(...medians.values()) / Math.min(...medians.values()) <= RATIO_MAX) return
  }
  expect.fail(`the medians differ too much, in microseconds:\n${[...medians].join('\n')}`)
}

test('every failure of authentication takes the same time', { timeout: 60_000 }, async () => {
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

test('every invite that opens nothing takes the same time', { timeout: 60_000 }, async () => {
  const ledger = await ledgerOnDisk()
  const ways = Object.entries(await wrongInvites(ledger)).map(([what, wrong]) => [
    what,
    () => join(ledger, { invite: wrong, token: newToken() }),
  ])
  await expectAlike(Object.fromEntries(ways))
})
