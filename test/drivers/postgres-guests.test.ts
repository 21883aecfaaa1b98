/** Guests at two portals over one PostgreSQL. Each test repeats the same moment many times, so that luck does not hide a mistake. */
import { setTimeout } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import type { Account, Ledger } from '../../src/portal/ledger/contract.ts'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { Problem } from '../../src/protocol/index.ts'
import { testDatabase } from '../servers/postgres.ts'
import { aTransfer, join, leaseMs, manifestDigest, problem, roomy } from '../suites/ledger.ts'
import { aRequest, makeGuests, newGuest } from '../suites/ledger-guests.ts'

const ROUNDS = 15
const many = { openMax: 10_000, perDayMax: 10_000 }

async function twoPortals() {
  const { url } = await testDatabase()
  const open = () => postgresLedger({ url })
  const [one, other] = [await open(), await open()]
  onTestFinished(async () => {
    await one.close()
    await other.close()
  })
  const ada = await join(one, 'ada')
  await one.setKeys(ada.accountId, { signing: 's', encryption: 'e' })
  const guest = async (): Promise<Account> => {
    const [made] = await makeGuests(one, ada, { within: many })
    if (made === undefined) throw new Error('no guest was made')
    return made
  }
  return { one, other, ada, guest, url }
}

/** `done`, or the code of the problem. Any other error fails the test. */
async function outcome(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'done'
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return error.code
  }
}

async function visitorOf(ledger: Ledger, secretHash: string): Promise<Account> {
  const account = await ledger.joinFileRequest(secretHash, newGuest(), { lingerMs: 1000 })
  if (account === null) throw new Error('the request is not open')
  return account
}

test('two files announced to a guest at the same time: it gets one of them', async () => {
  const { one, other, ada, guest } = await twoPortals()
  for (let round = 0; round < ROUNDS; round++) {
    const receiver = await guest()
    const outcomes = await Promise.all([
      outcome(one.announce(aTransfer(ada, [receiver]), roomy)),
      outcome(other.announce(aTransfer(ada, [receiver]), roomy)),
    ])
    expect(outcomes.sort()).toEqual(['done', 'receiver-unknown'])
  }
})

test('the same guests made by two portals at the same time are made once, and the bound of an owner is exact', async () => {
  const { one, other, ada } = await twoPortals()
  for (let round = 0; round < ROUNDS; round++) {
    const all = { guests: [newGuest(), newGuest()], expiresAtMs: one.nowMs() + 100_000 }
    const [first, second] = await Promise.all([
      one.createGuests(ada.accountId, all, many),
      other.createGuests(ada.accountId, all, many),
    ])
    expect(first).toEqual(second)
  }
  const { receiving } = await one.guestCensus()
  expect(receiving).toBe(2 * ROUNDS)
  const bounds = { openMax: receiving + 3, perDayMax: 10_000 }
  const outcomes = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      outcome(makeGuests(index % 2 === 0 ? one : other, ada, { within: bounds })),
    ),
  )
  expect(outcomes.filter((one) => one === 'done')).toHaveLength(3)
})

test('visitors that join and send at the same time exceed no bound of the request, nor the bytes of its owner', async () => {
  const { one, other, ada } = await twoPortals()
  for (let round = 0; round < ROUNDS; round++) {
    const request = aRequest(one, { filesMax: 4, bytesMax: 2500 })
    await one.createFileRequest(ada.accountId, request, many)
    const joins = await Promise.all(
      Array.from({ length: 6 }, (_, index) => outcome(visitorOf(index % 2 === 0 ? one : other, request.secretHash))),
    )
    expect(joins.sort()).toEqual([...Array(4).fill('done'), 'request-full', 'request-full'])
  }
  const request = aRequest(one, { filesMax: 100, bytesMax: 2500 })
  await one.createFileRequest(ada.accountId, request, many)
  const visitors = [await visitorOf(one, request.secretHash), await visitorOf(other, request.secretHash)]
  for (let round = 0; round < ROUNDS; round++) {
    const transfers = visitors.flatMap((visitor) => [aTransfer(visitor, [ada]), aTransfer(visitor, [ada])])
    const sent = await Promise.all(
      transfers.map((transfer, index) => outcome((index % 2 === 0 ? one : other).announce(transfer, roomy))),
    )
    expect(sent.sort()).toEqual(['done', 'done', 'request-full', 'request-full'])
    const [now] = await one.fileRequestsOf(ada.accountId, { before: null, limit: 1 })
    expect(now).toMatchObject({ files: 2, bytes: 2000 })
    // Two portals end them at the same time, too.
    await Promise.all(
      transfers.map(({ transferId }, index) =>
        (index % 2 === 0 ? one : other).moveTransfer(
          transferId,
          { state: 'receiving', attempt: 1 },
          { state: 'cancelled', problem: problem('cancelled') },
        ),
      ),
    )
    expect((await one.fileRequestsOf(ada.accountId, { before: null, limit: 1 }))[0]).toMatchObject({
      files: 0,
      bytes: 0,
    })
  }
  const narrow = { ...roomy, accountGuestBytesMax: 1500 }
  const both = visitors.map((visitor, index) => (index === 0 ? one : other).announce(aTransfer(visitor, [ada]), narrow))
  const states = (await Promise.all(both)).map(({ transfer }) => transfer.state)
  expect(states.sort()).toEqual(['receiving', 'refused'])
})

test('a guest that expires while a file is announced to it leaves no file without an end', async () => {
  const { one, ada, url } = await twoPortals()
  // For this portal every guest has expired, so that both moves really come at the same time.
  const late = await postgresLedger({ url, now: () => Date.now() + 1_000_000 })
  onTestFinished(() => late.close())
  let announcedCount = 0
  for (let round = 0; round < 4 * ROUNDS; round++) {
    const [receiver] = await makeGuests(one, ada, { within: many, expiresAtMs: one.nowMs() + 500_000 })
    if (receiver === undefined) throw new Error('no guest was made')
    const transfer = aTransfer(ada, [receiver])
    const announced = outcome(one.announce(transfer, roomy))
    await setTimeout(round % 8)
    await late.expireGuests(10)
    // What is not seen now would never be ended.
    const { deliveries } = await late.openWith(receiver.accountId, 10)
    const known = await announced
    expect(['done', 'receiver-unknown']).toContain(known)
    expect(deliveries).toEqual(known === 'done' ? [transfer.transferId] : [])
    if (known === 'done') announcedCount++
    for (const account of await late.dueRevocations(10)) await late.revocationSettled(account)
  }
  expect(announcedCount, 'the moves met').toBeGreaterThan(0)
})

test('an owner that is revoked while its guests send and receive leaves nothing open behind, and nothing is counted twice', async () => {
  const { one, other, ada } = await twoPortals()
  const [receiver] = await makeGuests(one, ada, { within: many })
  const request = aRequest(one, { filesMax: 10, bytesMax: 100_000 })
  await one.createFileRequest(ada.accountId, request, many)
  const visitor = await visitorOf(one, request.secretHash)
  if (receiver === undefined) throw new Error('no guest was made')
  const { transferId } = (await one.announce(aTransfer(ada, [receiver]), roomy)).transfer
  await one.moveTransfer(
    transferId,
    { state: 'receiving', attempt: 1 },
    { state: 'stored', manifestDigest, manifest: null },
  )
  const [offer] = await one.offerNext(receiver.accountId, 'instance-1', { leaseMs, limit: 1 })
  const delivery = offer?.deliveries[0]
  if (delivery?.state !== 'offered') throw new Error('it was not offered')
  const from = { state: 'offered', leaseId: delivery.lease.leaseId } as const
  const [, taken, sent] = await Promise.all([
    other.revokeAccount('ada'),
    one.moveDelivery(transferId, receiver.accountId, from, { state: 'delivered', receipt: null }),
    outcome(one.announce(aTransfer(visitor, [ada]), roomy)),
  ])
  expect(taken?.state).toBe('ended')
  expect(['done', 'credentials-invalid', 'receiver-unknown', 'request-closed']).toContain(sent)
  const due = (await other.dueRevocations(10)).map(({ name }) => name)
  expect(due.sort()).toEqual(['ada', receiver.name, visitor.name].sort())
  expect((await other.openWith(visitor.accountId, 10)).uploads).toHaveLength(sent === 'done' ? 1 : 0)
})
