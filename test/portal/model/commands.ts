/** The events of a transfer as commands of fast-check. The portal must give the answer that the model gives. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { newTransferId, Problem } from '../../../src/protocol/index.ts'
import { type Checks, notificationsOf } from './checks.ts'
import { type Model, type ModelTransfer, shortOf } from './model.ts'
import { files, options, outcomeOf, type PartKind, type Receiver, receivers, type System } from './system.ts'

export interface Real {
  readonly system: System
  readonly checks: Checks
}
type Command = fc.AsyncCommand<Model, Real>

const STALE_LEASE = 'l'.repeat(24)
const isStale = fc.boolean()
const receiver = fc.constantFrom(...receivers)
const pick = fc.nat(5)
const partNumber = fc.integer({ min: 1, max: 4 })

/** A command that runs when there is a transfer for it. Every check follows it. */
function about(
  name: string,
  which: number,
  run: (transfer: ModelTransfer, model: Model, real: Real) => Promise<{ isSwept?: boolean } | undefined>,
): Command {
  return {
    check: (model) => model.transfers.length > 0,
    async run(model, real) {
      const transfer = model.transfers[which % model.transfers.length]
      if (transfer === undefined) throw new Error('there is no transfer')
      const swept = await run(transfer, model, real)
      await real.checks.check(model, real.system, swept)
    },
    toString: () => `${name}(${which})`,
  }
}

function leaseOf(transfer: ModelTransfer, name: Receiver, stale: boolean): string {
  return stale ? STALE_LEASE : (transfer.deliveries.get(name)?.leaseId ?? STALE_LEASE)
}

function rightDigest(transfer: ModelTransfer): string {
  return files[transfer.fileIndex]?.manifestDigest ?? ''
}

function answerFor(disposition: string, leaseId: string, manifestDigest: string) {
  const problem = new Problem(disposition === 'resend' ? 'digest-mismatching-value' : 'disk-full').toJSON()
  switch (disposition) {
    case 'received':
      return { disposition, leaseId, manifestDigest } as const
    case 'resend':
      return { disposition, leaseId, problem, wanted: [[1, 10_000]] as [number, number][] } as const
    case 'released':
      return { disposition, leaseId } as const
    default:
      return { disposition: 'refused', leaseId, problem } as const
  }
}

const announce = fc.tuple(fc.nat(files.length - 1), fc.subarray([...receivers], { minLength: 1 }), fc.boolean()).map(
  ([fileIndex, to, isRepeated]): Command => ({
    check: (model) => model.transfers.length < 4,
    async run(model, { system, checks }) {
      const { sizeBytes, partSizeBytes } = files[fileIndex] ?? { sizeBytes: 0, partSizeBytes: 0 }
      const announcement = { to, metadata: { name: 'a' }, sizeBytes, partSizeBytes, digestAlgorithm: 'sha-256' }
      const transferId = newTransferId()
      expect(await system.announce(transferId, announcement)).toBe('new')
      model.announce(transferId, fileIndex, to)
      if (isRepeated) {
        expect(await system.announce(transferId, announcement)).toBe('known')
        const other = { ...announcement, metadata: { name: 'b' } }
        expect(await outcomeOf(system.announce(transferId, other))).toBe('transfer-conflict')
      }
      await checks.check(model, system)
    },
    toString: () => `announce(file ${fileIndex} to ${to})`,
  }),
)

const putPart = fc
  .tuple(
    pick,
    partNumber,
    fc.constantFrom<PartKind>('right', 'right', 'right', 'right', 'other', 'corrupt', 'short', 'long', 'full'),
  )
  .map(([which, number, kind]) =>
    about(`part ${number} ${kind}`, which, async (transfer, model, { system }) => {
      const expected = model.putPart(transfer, number, kind)
      expect(await outcomeOf(system.putPart(transfer.transferId, transfer.fileIndex, number, kind))).toBe(expected)
      return undefined
    }),
  )

/** Sends all parts in one command, because random single parts would seldom complete a transfer. */
const putAll = pick.map((which) =>
  about('all parts', which, async (transfer, model, { system }) => {
    for (let number = 1; number <= (files[transfer.fileIndex]?.parts.length ?? 0); number++) {
      const expected = model.putPart(transfer, number, 'right')
      expect(await outcomeOf(system.putPart(transfer.transferId, transfer.fileIndex, number, 'right'))).toBe(expected)
    }
    return undefined
  }),
)

const complete = fc
  .tuple(pick, fc.constantFrom('right', 'right', 'held', 'wrong'), fc.constantFrom(0, 0, 0, -1, 1))
  .map(([which, kind, offset]) =>
    about(`complete ${kind} ${offset}`, which, async (transfer, model, { system }) => {
      const digests: Record<string, string> = {
        right: rightDigest(transfer),
        held: model.manifestDigest(transfer),
        wrong: '0'.repeat(64),
      }
      const attempt = Math.max(1, transfer.attempt + offset)
      const expected = model.complete(transfer, digests[kind] ?? '', attempt)
      expect(await outcomeOf(system.complete(transfer.transferId, digests[kind] ?? '', attempt))).toBe(expected)
      return undefined
    }),
  )

const offer = fc
  .tuple(receiver, fc.constantFrom('instance-1', 'instance-2'), fc.integer({ min: 1, max: 4 }), fc.boolean())
  .map(
    ([name, instanceId, limit, isNew]): Command => ({
      check: () => true,
      async run(model, { system, checks }) {
        const { accountId } = system.account(name)
        if (isNew) {
          await system.context.ledger.receiverConnected(accountId, instanceId)
          model.receiverConnected(name, instanceId)
        }
        const due = model.due(name)
        const bound = { leaseMs: options.leaseMs, limit }
        const offered = await system.context.ledger.offerNext(accountId, instanceId, bound)
        expect(offered.length).toBe(Math.min(limit, due.length))
        for (const { transferId, deliveries } of offered) {
          const transfer = due.find((one) => one.transferId === transferId)
          const delivery = transfer?.deliveries.get(name)
          const real = deliveries.find((one) => one.receiver === name)
          if (delivery === undefined || real?.state !== 'offered') throw new Error('offered what was not due')
          model.offered(delivery, real.lease.leaseId, instanceId)
        }
        await checks.check(model, system)
      },
      toString: () => `offer(${limit} to ${name} at ${instanceId}${isNew ? ', new' : ''})`,
    }),
  )

const fetch = fc.tuple(pick, receiver, partNumber, isStale).map(([which, name, number, stale]) =>
  about(`fetch ${number} by ${name}${stale ? ', stale' : ''}`, which, async (transfer, model, { system }) => {
    const leaseId = leaseOf(transfer, name, stale)
    const expected = model.fetch(transfer, name, number, leaseId)
    const claim = { account: system.account(name), transferId: transfer.transferId, leaseId, heldBytes: 0 }
    const fetched = system.deliveries
      .part(claim, number, {
        waitMs: 0,
        signal: new AbortController().signal,
        rangeOf: () => undefined,
        wantsLink: false,
      })
      .then((part) => {
        if (part.link === null) part.content.stream.destroy()
        return part.digest
      })
    expect(await outcomeOf(fetched)).toBe(expected)
    return undefined
  }),
)

const dispose = fc
  .tuple(
    pick,
    receiver,
    fc.constantFrom('received', 'received', 'resend', 'refused', 'released'),
    isStale,
    fc.nat(9),
    fc.boolean(),
  )
  .map(([which, name, disposition, stale, wrong, isRepeated]) =>
    about(`${disposition} by ${name}${stale ? ', stale' : ''}`, which, async (transfer, model, { system }) => {
      const leaseId = leaseOf(transfer, name, stale)
      const manifestDigest = wrong === 0 ? '0'.repeat(64) : model.manifestDigest(transfer)
      const answer = answerFor(disposition, leaseId, manifestDigest)
      const code = 'problem' in answer ? answer.problem.code : ''
      for (let times = isRepeated ? 2 : 1; times > 0; times--) {
        const expected = model.dispose(transfer, name, { disposition, leaseId, manifestDigest, code })
        const call = system.deliveries.dispose(system.account(name), transfer.transferId, answer)
        expect(await outcomeOf(call)).toBe(expected)
      }
      return undefined
    }),
  )

const cancel = pick.map((which) =>
  about('cancel', which, async (transfer, model, { system }) => {
    model.cancel(transfer)
    expect(await system.cancel(transfer.transferId)).toBe(transfer.state)
    return undefined
  }),
)

const passTime = fc
  .constantFrom(options.offerPauseMsMin, options.leaseMs, options.uploadTimeoutMs, options.expiryMs)
  .map(
    (ms): Command => ({
      check: () => true,
      async run(model, { system }) {
        system.clock.advance(ms)
        model.nowMs += ms
      },
      toString: () => `pass(${ms} ms)`,
    }),
  )

const sweep = fc.boolean().map(
  (hasOrphans): Command => ({
    check: () => true,
    async run(model, { system, checks }) {
      if (hasOrphans) await system.sweeper.removeOrphans(new AbortController().signal)
      await system.sweep()
      model.sweep()
      await checks.check(model, system, { isSwept: true })
    },
    toString: () => 'sweep()',
  }),
)

const restart = fc.constant<Command>({
  check: () => true,
  async run(model, { system, checks }) {
    await system.restart()
    await checks.check(model, system)
  },
  toString: () => 'restart()',
})

const LOOKS_MAX = 20

type Rival =
  | 'part'
  | 'sent again'
  | 'complete'
  | 'complete wrong'
  | 'cancel'
  | 'sweep'
  | 'received'
  | 'refused'
  | 'resend'

/** Acts like a sender that got `resend`: sends all parts again and completes the next attempt. */
async function sentAgain(system: System, transfer: ModelTransfer): Promise<string> {
  const { transferId, fileIndex, attempt } = transfer
  for (let looks = 0; looks < LOOKS_MAX; looks++) {
    const real = await system.context.ledger.transfer(transferId)
    if (real?.state === 'receiving' && real.attempt > attempt) break
  }
  for (const at of files[fileIndex]?.parts.keys() ?? []) await system.putPart(transferId, fileIndex, at + 1, 'right')
  return system.complete(transferId, rightDigest(transfer), attempt + 1)
}

/** Copies the real state into the model after calls with an unpredictable outcome. */
async function adoptAll(model: Model, system: System): Promise<void> {
  for (const one of model.transfers) {
    const real = await system.context.ledger.transfer(one.transferId)
    if (real === null) throw new Error('the ledger has forgotten a transfer')
    const told = (await notificationsOf(system, one.transferId)).map(shortOf)
    model.adopt(one, real, await system.context.store.list(real), told)
  }
}

/** Several calls at once. The portal may process them in any order, as long as every promise holds afterwards. */
const race = fc
  .tuple(
    pick,
    fc.array(
      fc.constantFrom<Rival>(
        'part',
        'sent again',
        'complete',
        'complete',
        'complete wrong',
        'cancel',
        'sweep',
        'sweep',
        'received',
        'refused',
        'resend',
      ),
      { minLength: 2, maxLength: 3 },
    ),
    fc.integer(),
    fc.constantFrom(0, options.leaseMs, options.uploadTimeoutMs),
    fc.boolean(),
  )
  .map(([which, rivals, seed, passMs, isFilled]) =>
    about(
      `at once, after ${passMs} ms${isFilled ? ', all parts held' : ''}: ${rivals.join(', ')}; seed ${seed}`,
      which,
      async (transfer, model, { system }) => {
        const { transferId, fileIndex, attempt } = transfer
        // Most races need a complete transfer, which random commands seldom produce.
        for (const at of isFilled ? (files[fileIndex]?.parts.keys() ?? []) : []) {
          await outcomeOf(system.putPart(transferId, fileIndex, at + 1, 'right'))
        }
        await adoptAll(model, system)
        system.clock.advance(passMs)
        model.nowMs += passMs
        const leaseId = leaseOf(transfer, 'bob', false)
        const dispose = (disposition: string) => () =>
          system.deliveries.dispose(
            system.account('bob'),
            transferId,
            answerFor(disposition, leaseId, model.manifestDigest(transfer)),
          )
        const calls: Record<Rival, () => Promise<string>> = {
          part: () => system.putPart(transferId, fileIndex, 1, 'right'),
          'sent again': () => sentAgain(system, transfer),
          complete: () => system.complete(transferId, rightDigest(transfer), attempt),
          'complete wrong': () => system.complete(transferId, '0'.repeat(64), attempt),
          cancel: () => system.cancel(transferId),
          sweep: () => system.sweep(),
          received: dispose('received'),
          refused: dispose('refused'),
          resend: dispose('resend'),
        }
        await system.atOnce(
          seed,
          rivals.map((rival) => calls[rival]),
        )
        await adoptAll(model, system)
        return undefined
      },
    ),
  )

export const commands = [
  announce,
  putPart,
  putPart,
  putAll,
  complete,
  offer,
  fetch,
  dispose,
  cancel,
  passTime,
  sweep,
  restart,
  race,
]

/** Lets every deadline pass, then checks again. */
export async function expectAllEnded(model: Model, { system, checks }: Real): Promise<void> {
  system.clock.advance(options.expiryMs)
  model.nowMs += options.expiryMs
  await system.sweep()
  model.sweep()
  await system.sweep()
  await checks.check(model, system, { isSwept: true })
  expect(await system.context.ledger.totals()).toEqual({ openTransfers: 0, openBytes: 0 })
  for (const { told, deliveries } of model.transfers) {
    const seconds = told.filter((one) => one.includes(' '))
    expect(seconds.length).toBe(told.includes('stored') ? deliveries.size : 0)
  }
}
