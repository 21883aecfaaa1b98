/** Two portals over one PostgreSQL do the same at the same time. Each test repeats it many times, so that luck does not hide a mistake. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Account, Ledger, Transfer } from '../../src/portal/ledger/contract.ts'
import { postgresLedger } from '../../src/portal/ledger/postgres.ts'
import { newTransferId, Problem } from '../../src/protocol/index.ts'
import { testDatabase } from '../servers/postgres.ts'
import { aTransfer, join, leaseMs, manifestDigest, problem, roomy } from '../suites/ledger.ts'

const ROUNDS = 40
const stored = { state: 'stored', manifestDigest, manifest: null } as const
const instance = 'instance-1'

async function twoPortals() {
  const { url } = await testDatabase()
  /** Errors for which a transaction was run again. */
  const hindered: unknown[] = []
  const open = () => postgresLedger({ url, onRetry: (error) => hindered.push(error) })
  const portals: readonly [Ledger, Ledger] = [await open(), await open()]
  onTestFinished(async () => {
    for (const portal of portals) await portal.close()
  })
  const [one, other] = portals
  const [ada, bob, cy] = [await join(one, 'ada'), await join(one, 'bob'), await join(one, 'cy')]
  const store = async (to: readonly Account[]): Promise<string> => {
    const { transferId } = (await one.announce(aTransfer(ada, to), roomy)).transfer
    await one.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored)
    return transferId
  }
  /** Offers a receiver its only waiting transfer. @returns the lease */
  const lease = async (receiver: Account): Promise<string> => {
    const [offer] = await one.offerNext(receiver.accountId, instance, { leaseMs, limit: 1 })
    return leaseOf(offer, receiver)
  }
  const told = async (transferId: string): Promise<string[]> => {
    const events = await one.events(ada.accountId, { after: '0', limit: 100, transferId })
    return events.map((event) => ('receiver' in event ? `${event.notification} ${event.receiver}` : event.notification))
  }
  return { portals, one, other, ada, bob, cy, store, lease, told, hindered }
}

function leaseOf(transfer: Transfer | undefined, receiver: Account): string {
  const delivery = transfer?.deliveries.find(({ receiverId }) => receiverId === receiver.accountId)
  if (delivery?.state !== 'offered') throw new Error(`the delivery is ${delivery?.state}`)
  return delivery.lease.leaseId
}

/** The value of a promise, or the code of its problem. Any other error fails the test. */
async function outcome<Value>(promise: Promise<Value>): Promise<Value | string> {
  try {
    return await promise
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    return error.code
  }
}

describe('of two moves of one', () => {
  test('a transfer, one wins, and the sender is notified of that one only', async () => {
    const { one, other, ada, bob, told } = await twoPortals()
    for (let round = 0; round < ROUNDS; round++) {
      const { transferId } = (await one.announce(aTransfer(ada, [bob]), roomy)).transfer
      const from = { state: 'receiving', attempt: 1 } as const
      const moves = await Promise.all([
        one.moveTransfer(transferId, from, stored),
        other.moveTransfer(transferId, from, { state: 'cancelled', problem: problem('cancelled') }),
      ])
      const winners = moves.filter((move) => move !== null)
      expect(winners).toHaveLength(1)
      expect((await one.transfer(transferId))?.state).toBe(winners[0]?.state)
      expect(await told(transferId)).toEqual([winners[0]?.state === 'stored' ? 'stored' : 'refused'])
    }
  })

  test('a delivery, one wins, and both portals count it once', async () => {
    const { one, other, bob, store, lease, told } = await twoPortals()
    for (let round = 0; round < ROUNDS; round++) {
      const transferId = await store([bob])
      const from = { state: 'offered', leaseId: await lease(bob) } as const
      const moves = await Promise.all([
        one.moveDelivery(transferId, bob.accountId, from, { state: 'delivered', receipt: null }),
        other.moveDelivery(transferId, bob.accountId, from, { state: 'failed', problem: problem('disk-full') }),
        one.moveDelivery(transferId, bob.accountId, from, { state: 'waiting', offerInMs: 0 }),
      ])
      expect(moves.filter((move) => move !== null)).toHaveLength(1)
      if (moves[2] !== null) {
        await one.moveDelivery(
          transferId,
          bob.accountId,
          { state: 'waiting' },
          { state: 'failed', problem: problem('expired') },
        )
      }
      expect(await told(transferId)).toHaveLength(2)
      expect((await other.transfer(transferId))?.state).toBe('ended')
    }
    expect(await one.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
  })

  test('an announced small file, one wins, and there is no deadlock', async () => {
    const { one, other, ada, bob, told, hindered } = await twoPortals()
    const content = Buffer.from('a small file')
    for (let round = 0; round < ROUNDS; round++) {
      const transfer = aTransfer(ada, [bob], content.length)
      const { transferId } = transfer
      await one.announce(transfer, roomy)
      const [{ notification }, move] = await Promise.all([
        one.storeInline(transfer, roomy, { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content }),
        other.moveTransfer(
          transferId,
          { state: 'receiving', attempt: 1 },
          { state: 'cancelled', problem: problem('cancelled') },
        ),
      ])
      expect(move === null).toBe(notification?.notification === 'stored')
      expect(await told(transferId)).toEqual([move === null ? 'stored' : 'refused'])
    }
    expect(hindered).toEqual([])
  })
})

describe('a transfer to two receivers', () => {
  test('ends once, whichever receiver answers last', async () => {
    const { one, other, bob, cy, store, lease, told } = await twoPortals()
    for (let round = 0; round < ROUNDS; round++) {
      const transferId = await store([bob, cy])
      const [bobs, cys] = [await lease(bob), await lease(cy)]
      const answers = await Promise.all([
        one.moveDelivery(
          transferId,
          bob.accountId,
          { state: 'offered', leaseId: bobs },
          { state: 'delivered', receipt: null },
        ),
        other.moveDelivery(
          transferId,
          cy.accountId,
          { state: 'offered', leaseId: cys },
          { state: 'delivered', receipt: null },
        ),
      ])
      expect(answers.map((answer) => answer?.state).sort()).toEqual(['ended', 'stored'])
      expect(new Set(await told(transferId))).toEqual(new Set(['stored', 'delivered bob', 'delivered cy']))
    }
    expect(await one.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
    expect((await one.census()).deliveries).toEqual({ waiting: 0, offered: 0, delivered: 2 * ROUNDS, failed: 0 })
  })

  test('reports an early refusal once, after the file was stored', async () => {
    const { one, other, ada, bob, cy, told } = await twoPortals()
    for (let round = 0; round < ROUNDS; round++) {
      const { transferId } = (await one.announce(aTransfer(ada, [bob, cy]), roomy)).transfer
      const leaseId = leaseOf((await one.offerNext(bob.accountId, instance, { leaseMs, limit: 1 }))[0], bob)
      await Promise.all([
        one.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored),
        other.moveDelivery(
          transferId,
          bob.accountId,
          { state: 'offered', leaseId },
          { state: 'failed', problem: problem('disk-full') },
        ),
      ])
      expect(await told(transferId)).toEqual(['stored', 'failed bob'])
    }
    expect((await one.census()).deliveries).toEqual({ waiting: ROUNDS, offered: 0, delivered: 0, failed: ROUNDS })
  })
})

describe('events of one account', () => {
  test('are seen in the order of their ids, and none appears between earlier ones later', async () => {
    const { portals, one, ada, bob } = await twoPortals()
    const seen: string[] = []
    const work = { isOver: false }
    const reading = (async () => {
      for (let last = false; ; ) {
        const events = await one.events(ada.accountId, { after: seen.at(-1) ?? '0', limit: 7, transferId: null })
        seen.push(...events.map(({ eventId }) => eventId))
        if (last && events.length === 0) return
        last = work.isOver
      }
    })()
    const writers = [...portals, ...portals, ...portals].map(async (portal) => {
      for (let number = 0; number < 15; number++) {
        const { transferId } = (await portal.announce(aTransfer(ada, [bob]), roomy)).transfer
        await portal.moveTransfer(transferId, { state: 'receiving', attempt: 1 }, stored)
        const change = { state: 'failed', problem: problem('expired') } as const
        await portal.moveDelivery(transferId, bob.accountId, { state: 'waiting' }, change)
      }
    })
    await Promise.all(writers)
    work.isOver = true
    await reading
    const all = await one.events(ada.accountId, { after: '0', limit: 1000, transferId: null })
    expect(all).toHaveLength(6 * 15 * 2)
    expect(seen).toEqual(all.map(({ eventId }) => eventId))
  })
})

describe('offers', () => {
  test('of two portals to one receiver never contain the same delivery', async () => {
    const { portals, bob, store } = await twoPortals()
    const waiting: string[] = []
    for (let number = 0; number < ROUNDS; number++) waiting.push(await store([bob]))
    const given: string[] = []
    const offering = [...portals, ...portals].map(async (portal, index) => {
      for (;;) {
        const offers = await portal.offerNext(bob.accountId, `instance-${index}`, { leaseMs, limit: 2 })
        given.push(...offers.map(({ transferId }) => transferId))
        if (offers.length === 0 && (await portal.nextOfferInMs(bob.accountId)) === null) return
      }
    })
    await Promise.all(offering)
    expect(given.sort()).toEqual(waiting.sort())
  })
})

describe('announcements at the same time', () => {
  test('never exceed the bytes of the account', async () => {
    const { portals, one, ada, bob } = await twoPortals()
    const tight = { ...roomy, accountBytesMax: 10_500 }
    const announced = await Promise.all(
      Array.from({ length: ROUNDS }, (_, index) =>
        (portals[index % 2] ?? one).announce(aTransfer(ada, [bob], 1000), tight),
      ),
    )
    expect(announced.filter(({ transfer }) => transfer.state === 'receiving')).toHaveLength(10)
    expect(announced.filter(({ transfer }) => transfer.state === 'refused')).toHaveLength(ROUNDS - 10)
    expect(await one.totals()).toEqual({ openTransfers: 10, openBytes: 10_000 })
  })

  test('never exceed the open transfers of the account', async () => {
    const { portals, one, ada, bob } = await twoPortals()
    const tight = { ...roomy, accountTransfersMax: 10 }
    const announced = await Promise.all(
      Array.from({ length: ROUNDS }, (_, index) =>
        outcome((portals[index % 2] ?? one).announce(aTransfer(ada, [bob]), tight)),
      ),
    )
    expect(announced.filter((one) => one === 'too-many-transfers')).toHaveLength(ROUNDS - 10)
  })

  test('of one transfer create it once, and all calls find it', async () => {
    const { portals, ada, bob } = await twoPortals()
    for (let round = 0; round < 10; round++) {
      const transfer = { ...aTransfer(ada, [bob]), transferId: newTransferId() }
      const announced = await Promise.all([...portals, ...portals].map((portal) => portal.announce(transfer, roomy)))
      expect(announced.filter(({ isNew }) => isNew)).toHaveLength(1)
      expect(new Set(announced.map((one) => one.transfer.state))).toEqual(new Set(['receiving']))
    }
  })

  test('of one small file with its content store it once, whether it was announced before or not', async () => {
    const { portals, one, ada, bob, told } = await twoPortals()
    const content = Buffer.from('a small file')
    const whole = { manifestDigest, manifest: null, digest: 'cd'.repeat(32), content }
    for (let round = 0; round < 20; round++) {
      const transfer = aTransfer(ada, [bob], content.length)
      if (round % 2 === 1) await one.announce(transfer, roomy)
      const deposits = await Promise.all(
        [...portals, ...portals].map((portal) => portal.storeInline(transfer, roomy, whole)),
      )
      expect(deposits.filter(({ notification }) => notification !== null)).toHaveLength(1)
      expect(deposits.map((storeInline) => storeInline.transfer.state)).toEqual([
        'stored',
        'stored',
        'stored',
        'stored',
      ])
      expect(await told(transfer.transferId)).toEqual(['stored'])
      expect(await one.content(transfer.transferId)).toEqual({ digest: whole.digest, content })
    }
  })
})

describe('a revocation', () => {
  test('finds everything that was announced before it, and nothing can be announced after it', async () => {
    const { portals, one, other, ada } = await twoPortals()
    let admitted = 0
    for (let round = 0; round < ROUNDS; round++) {
      const dee = await join(one, `dee-${round}`)
      const announcing = [...portals, ...portals].flatMap((portal) =>
        [aTransfer(dee, [ada]), aTransfer(ada, [dee])].map((transfer) => outcome(portal.announce(transfer, roomy))),
      )
      await other.revokeAccount(dee.name)
      const { uploads, deliveries } = await other.openWith(dee.accountId, 100)
      const announced = await Promise.all(announcing)
      const ids = announced.flatMap((one) => (typeof one === 'string' ? [] : [one.transfer.transferId]))
      admitted += ids.length
      expect([...uploads, ...deliveries].sort()).toEqual(ids.sort())
      const refused = announced.filter((one) => typeof one === 'string')
      for (const code of refused) expect(['credentials-invalid', 'receiver-unknown']).toContain(code)
    }
    // Both outcomes must have occurred, otherwise the test shows nothing.
    expect(admitted).toBeGreaterThan(0)
    expect(admitted).toBeLessThan(ROUNDS * 8)
  })
})

describe('a duty', () => {
  test.each(['sweep', 'orphans', 'audit'] as const)(
    '(%s) that several want at the same time goes to one',
    async (duty) => {
      const { portals } = await twoPortals()
      const wanted = [...portals, ...portals, ...portals]
      const taken = await Promise.all(
        wanted.map((portal, index) => portal.takeDuty(duty, `portal-${index}`, { leaseMs })),
      )
      expect(taken.filter((isTaken) => isTaken)).toHaveLength(1)
    },
  )
})

describe('changes of accounts at the same time', () => {
  test('never exceed the open invites, and are seen in the order of their ids', async () => {
    const { portals, one } = await twoPortals()
    const before = (await one.accountChanges({ after: 0, limit: 1000 })).length
    const made = await Promise.all(
      Array.from({ length: ROUNDS }, (_, index) =>
        outcome(
          (portals[index % 2] ?? one).createInvite({
            name: `guest-${index}`,
            secretHash: `secret-${index}`,
            lifetimeMs: 60_000,
            openMax: 10,
          }),
        ),
      ),
    )
    expect(made.filter((one) => one === undefined)).toHaveLength(10)
    expect(made.filter((one) => one === 'too-many-invites')).toHaveLength(ROUNDS - 10)
    expect(await one.accountChanges({ after: 0, limit: 1000 })).toHaveLength(before + 10)
  })

  test('one of two uses of an invite wins', async () => {
    const { one, other } = await twoPortals()
    for (let round = 0; round < 10; round++) {
      const secretHash = `secret-${round}`
      await one.createInvite({ name: `guest-${round}`, secretHash, lifetimeMs: 60_000 })
      const redeemed = await Promise.all(
        [one, other].map((portal, index) =>
          portal.redeemInvite(secretHash, { tokenId: `token-${round}-${index}`, tokenHash: 'hash' }),
        ),
      )
      expect(redeemed.filter((account) => account !== null)).toHaveLength(1)
    }
  })
})
