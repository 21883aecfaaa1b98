/** The portal logs what matters to security at every log level. No client can fill the disk with these lines. */
import { Writable } from 'node:stream'
import pino, { type Logger } from 'pino'
import { afterEach, expect, test, vi } from 'vitest'
import { startPortal } from '../../../src/portal/index.ts'
import { Audit } from '../../../src/portal/monitoring/audit.ts'
import { newInvite, newToken } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { partSizeBytes, TestPortal } from '../portal.ts'

type Line = Readonly<Record<string, unknown>> & { readonly audit: string }

/** A log of that level, and the audit lines that it wrote. */
function aLog(level: string): { log: Logger; lines: Line[]; of: (event: string) => Line[]; others: () => number } {
  const lines: Line[] = []
  let others = 0
  const write = (text: Buffer, _encoding: string, done: () => void): void => {
    const line = JSON.parse(String(text))
    if ('audit' in line) lines.push(line)
    else others++
    done()
  }
  const of = (event: string) => lines.filter(({ audit }) => audit === event)
  return { log: pino({ level }, new Writable({ write })), lines, of, others: () => others }
}

const content = Buffer.alloc(partSizeBytes, 'looked after ')
const total = (lines: Line[]): number => lines.reduce((sum, { count }) => sum + Number(count), 0)

test('every change of an account is logged once, by any process, and each use of a link with its address', async () => {
  const { log, lines, of, others } = aLog('error')
  const portal = await TestPortal.start({}, { log })
  await portal.operate((ledger) => ledger.setOperator('bob', true))
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  await portal.rotate('bob')
  await until(() => of('token-rotated').length > 0, 'the rotation is told')
  const ofBob = lines.filter(({ account }) => account === 'bob')
  expect(ofBob.map(({ audit }) => audit).filter((event) => event !== 'invite-redeemed')).toEqual([
    'invite-made',
    'account-opened',
    'operator-made',
    'account-revoked',
    'operator-unmade',
    'rotation-made',
    'token-rotated',
  ])
  expect(of('account-revoked')).toEqual([
    expect.objectContaining({
      account: 'bob',
      time: expect.any(Number),
      changeId: expect.any(Number),
      at: expect.stringMatching(/Z$/),
    }),
  ])
  await until(() => of('invite-redeemed').length === 4, 'who used the link is told')
  expect(of('invite-redeemed').at(-1)).toMatchObject({
    account: 'bob',
    address: '127.0.0.1',
    requestId: expect.any(String),
  })
  expect(others(), 'the other log is at its own level').toBe(0)
})

test('changes from a time without a portal are logged when one starts, and not again', async () => {
  const portal = await TestPortal.start()
  const changeIds = async (): Promise<unknown[]> => {
    const { log, lines } = aLog('warn')
    const running = await startPortal({ dataFolder: portal.dataFolder, listenPort: 0, freeBytesMin: 0 }, log)
    await until(async () => {
      const last = (await portal.operate((ledger) => ledger.accountChanges({ after: 0, limit: 100 }))).at(-1)
      return (await portal.operate((ledger) => ledger.auditedChangeId())) === last?.changeId
    }, 'all is told')
    await running.close()
    return lines.map(({ audit }) => audit)
  }
  await portal.stop()
  await portal.operate((ledger) => ledger.revokeAccount('carol'))
  expect((await changeIds()).at(-1)).toBe('account-revoked')
  expect(await changeIds()).toEqual([])
})

test('cut connections are logged with their number', async () => {
  const { log, of } = aLog('warn')
  const portal = await TestPortal.start({}, { log })
  for (let i = 0; i < 3; i++) {
    const socket = await portal.connect()
    const begun = new Promise((resolve) => socket.once('data', resolve))
    socket.write(portal.request('GET', `/v1/inbox?instance=instance-${i}`, { token: portal.token('alice') }))
    await begun
  }
  await portal.operate((ledger) => ledger.revokeAccount('alice'))
  await until(() => of('connections-cut').length > 0, 'they are cut')
  expect(of('connections-cut')).toMatchObject([{ account: 'alice', connections: 3 }])
})

test('failures of authentication are logged with account, address and reason', async () => {
  const { log, of } = aLog('warn')
  const portal = await TestPortal.start({}, { log })
  await portal.operate((ledger) => ledger.revokeAccount('bob'))
  await portal.ask('GET', '/v1/account', { token: portal.token('bob') })
  expect(of('authentication-failed')).toMatchObject([
    { account: 'bob', address: '127.0.0.1', requestId: expect.any(String), reason: 'the account is revoked', count: 1 },
  ])
  expect(of('authentication-failed')[0]?.tokenId).toBe(portal.token('bob').slice(4, 20))
})

test('many failures are one line a second, with their number', async () => {
  const { log, of } = aLog('warn')
  const portal = await TestPortal.start({}, { log })
  const begunAtMs = performance.now()
  const FAILURES = 60
  for (let i = 0; i < FAILURES; i++) await portal.ask('GET', '/v1/account', { token: newToken() })
  await portal.stop()
  const lines = of('authentication-failed')
  expect(total(lines), 'none is lost').toBe(FAILURES)
  expect(lines.length).toBeLessThanOrEqual(2 + Math.ceil((performance.now() - begunAtMs) / 1000))
})

test('repeated actions of an account are one line a second, with their number', async () => {
  const { log, of } = aLog('warn')
  const portal = await TestPortal.start({}, { log })
  const begunAtMs = performance.now()
  const TIMES = 60
  const used = { invite: await TestPortal.invite(portal.dataFolder, 'dave'), token: newToken() }
  const others = of('invite-redeemed').length
  const keys = ['A', 'Q'].map((letter) => ({
    signing: letter.repeat(43).replace(/.$/, 'A'),
    encryption: 'A'.repeat(43),
  }))
  for (let i = 0; i < TIMES; i++) {
    expect((await portal.ask('POST', '/v1/join', { body: used })).status).toBe(200)
    const answer = await portal.ask('PUT', '/v1/account/keys', { token: used.token, body: keys[i % 2] })
    expect(answer.status).toBe(200)
  }
  await portal.stop()
  const linesMax = 2 + Math.ceil((performance.now() - begunAtMs) / 1000)
  for (const [event, times] of [
    ['invite-redeemed', TIMES],
    ['keys-set', 1],
    ['keys-changed', TIMES - 1],
  ] as const) {
    const lines = of(event).filter(({ account }) => account === 'dave')
    expect(total(lines), `${event}: none is lost`).toBe(times)
    expect(lines.length, event).toBeLessThanOrEqual(linesMax)
  }
  expect(others, 'each account has a line of its own').toBe(3)
})

test('invalid invites and attempts at transfers of other accounts are logged; attempts at unknown ids are not', async () => {
  const { log, of } = aLog('warn')
  const portal = await TestPortal.start({}, { log })
  await portal.ask('POST', '/v1/join', { body: { invite: newInvite(), token: newToken() } })
  expect(of('invite-failed')).toMatchObject([{ address: '127.0.0.1', requestId: expect.any(String), count: 1 }])

  const transferId = await portal.store(content)
  const token = portal.token('carol')
  await portal.ask('GET', `/v1/transfers/${transferId.replace(/.$/, (last) => (last === '0' ? '1' : '0'))}`, { token })
  expect(of('access-denied')).toEqual([])
  await portal.ask('GET', `/v1/transfers/${transferId}`, { token })
  await portal.ask('GET', `/v1/inbox/${transferId}`, { token })
  await portal.stop()
  expect(of('access-denied')[0]).toMatchObject({ account: 'carol', transferId, address: '127.0.0.1' })
  expect(total(of('access-denied'))).toBe(2)
})

test('a silent log has no audit log either', async () => {
  const { log, lines } = aLog('silent')
  new Audit(log).did('keys-set', { account: 'alice' })
  expect(lines).toEqual([])
})

afterEach(() => {
  vi.useRealTimers()
})

test('failures from one address are logged at most once a second, for as long as they continue', () => {
  vi.useFakeTimers()
  const { log, lines } = aLog('error')
  using audit = new Audit(log)
  const SECONDS = 10
  const PER_SECOND = 50
  for (let at = 0; at < SECONDS * PER_SECOND; at++) {
    audit.refused('authentication-failed', { address: '192.0.2.1' })
    vi.advanceTimersByTime(1000 / PER_SECOND)
  }
  vi.advanceTimersByTime(5_000)
  expect(total(lines)).toBe(SECONDS * PER_SECOND)
  expect(lines).toHaveLength(SECONDS + 1)
  audit.refused('authentication-failed', { address: '192.0.2.1' })
  expect(lines, 'after a pause the first one is told at once').toHaveLength(SECONDS + 2)
})

test('very many addresses are logged together, and none of them is lost', () => {
  vi.useFakeTimers()
  const { log, lines } = aLog('error')
  using audit = new Audit(log)
  const ADDRESSES = 5_000
  for (let host = 0; host < ADDRESSES; host++) audit.refused('invite-failed', { address: `2001:db8::${host}` })
  vi.advanceTimersByTime(1_000)
  expect(lines.length).toBeLessThan(110)
  expect(total(lines)).toBe(ADDRESSES)
})

test('however many addresses fail in one way, other events are logged with their address or account', () => {
  vi.useFakeTimers()
  const { log, of } = aLog('error')
  using audit = new Audit(log)
  for (let host = 0; host < 500; host++) audit.refused('authentication-failed', { address: `2001:db8::${host}` })
  audit.refused('access-denied', { address: '192.0.2.1', account: 'carol' })
  const accounts = Array.from({ length: 500 }, (_, index) => `account-${index}`)
  for (const account of accounts) audit.did('keys-changed', { account, address: '192.0.2.1' })
  expect(of('access-denied')).toMatchObject([{ address: '192.0.2.1', account: 'carol' }])
  expect(of('keys-changed').map(({ account }) => account)).toEqual(accounts)
})

test('who made and who cancelled an upload that later requests continue is logged, with its transfer', async () => {
  const { log, lines, of } = aLog('error')
  const portal = await TestPortal.start({}, { log })
  const headers = { authorization: `Bearer ${portal.token('alice')}` }
  const begun = { 'upload-complete': '?0', 'upload-length': '5' }
  const made = await fetch(`${portal.url}/v1/to/bob/film`, { method: 'POST', headers: { ...headers, ...begun } })
  const location = made.headers.get('location') ?? ''
  await fetch(new URL(location, portal.url), { method: 'DELETE', headers })
  await until(() => of('upload-cancelled').length === 1, 'the end is told')
  const [transfer] = (await portal.client('alice').transfers({ limit: 1 })).transfers
  const told = { account: 'alice', transferId: transfer?.transferId, protocol: 'ietf', address: '127.0.0.1' }
  expect(of('upload-made')).toEqual([expect.objectContaining(told)])
  expect(of('upload-cancelled')).toEqual([expect.objectContaining(told)])
  expect(location).toMatch(/uploads/)
  expect(JSON.stringify(lines)).not.toContain(location.split('/').at(-1))
})
