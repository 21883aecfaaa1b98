/** What the portal should do, as briefly as possible: the tables of PROTOCOL.md over plain objects. */
import { manifestDigestOf } from '../../../src/digests/index.ts'
import type { Delivery, Transfer } from '../../../src/portal/ledger/contract.ts'
import type { DeliveryState, Notification, TransferState } from '../../../src/protocol/index.ts'
import { files, options, type PartKind, type Receiver } from './system.ts'

/** The portal postpones a deadline when less than this share of its time is left. */
const RENEW_BELOW = 0.75

export interface ModelDelivery {
  state: DeliveryState
  offers: number
  resends: number
  offerAtMs: number
  leaseId: string | null
  leaseEndsMs: number
  instanceId: string
  code: string | null
}

export interface ModelTransfer {
  readonly transferId: string
  readonly fileIndex: number
  readonly expiresAtMs: number
  state: TransferState
  attempt: number
  deadlineMs: number | null
  /** part number -> digest */
  held: Map<number, string>
  readonly deliveries: Map<Receiver, ModelDelivery>
  /** The notifications so far, in short form: `resend`, `stored`, `failed bob`. */
  told: string[]
}

export class Model {
  readonly transfers: ModelTransfer[] = []
  nowMs: number

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  announce(transferId: string, fileIndex: number, to: readonly Receiver[]): void {
    const delivery = (): ModelDelivery => ({
      state: 'waiting',
      offers: 0,
      resends: 0,
      offerAtMs: this.nowMs,
      leaseId: null,
      leaseEndsMs: 0,
      instanceId: '',
      code: null,
    })
    this.transfers.push({
      transferId,
      fileIndex,
      expiresAtMs: this.nowMs + options.expiryMs,
      state: 'receiving',
      attempt: 1,
      deadlineMs: this.nowMs + options.uploadTimeoutMs,
      held: new Map(),
      deliveries: new Map(to.map((name) => [name, delivery()])),
      told: [],
    })
  }

  /** @returns what the portal should answer */
  putPart(transfer: ModelTransfer, partNumber: number, kind: PartKind): string {
    if (transfer.state !== 'receiving') return 'transfer-closed'
    const part = files[transfer.fileIndex]?.parts[partNumber - 1]
    if (part === undefined) return 'part-unknown'
    if (transfer.deadlineMs === null || transfer.deadlineMs < this.nowMs + options.uploadTimeoutMs * RENEW_BELOW) {
      transfer.deadlineMs = this.nowMs + options.uploadTimeoutMs
    }
    const digest = kind === 'other' ? part.otherDigest : part.rightDigest
    const held = transfer.held.get(partNumber)
    if (held !== undefined) return held === digest ? 'held' : 'part-conflict'
    switch (kind) {
      case 'full':
        this.#endUnstored(transfer, 'refused', 'storage-full')
        return 'storage-full'
      case 'corrupt':
        return 'digest-mismatching-value'
      case 'short':
      case 'long':
        return 'part-incomplete'
      default:
        transfer.held.set(partNumber, digest)
        return 'held'
    }
  }

  complete(transfer: ModelTransfer, manifestDigest: string, attempt: number): string {
    if (attempt > transfer.attempt) return 'request-invalid'
    if (transfer.state !== 'receiving' || attempt < transfer.attempt) {
      const isStored = transfer.state === 'stored' || transfer.state === 'ended'
      const isOther = isStored && attempt === transfer.attempt && manifestDigest !== this.manifestDigest(transfer)
      return isOther ? 'transfer-conflict' : (this.#firsts(transfer)[attempt - 1] ?? 'transfer-closed')
    }
    const isWhole = transfer.held.size === files[transfer.fileIndex]?.parts.length
    if (!isWhole) return this.#again(transfer, this.nowMs + options.uploadTimeoutMs)
    if (manifestDigest !== this.manifestDigest(transfer)) {
      transfer.held.clear()
      return this.#again(transfer, this.nowMs + options.uploadTimeoutMs)
    }
    transfer.state = 'stored'
    transfer.deadlineMs = null
    transfer.told.push('stored')
    for (const [name, delivery] of transfer.deliveries) {
      if (delivery.state === 'failed') transfer.told.push(`failed ${name}`)
    }
    this.#endIfAllAnswered(transfer)
    return 'stored'
  }

  /** The digest over the held parts, in order. */
  manifestDigest({ held }: ModelTransfer): string {
    return manifestDigestOf(
      'sha-256',
      [...held].sort(([a], [b]) => a - b).map(([, digest]) => digest),
    )
  }

  /** The transfers that the portal may offer this receiver now. */
  due(name: Receiver): ModelTransfer[] {
    return this.transfers
      .filter((transfer) => {
        const delivery = transfer.deliveries.get(name)
        return delivery?.state === 'waiting' && delivery.offerAtMs <= this.nowMs
      })
      .sort((a, b) => (a.deliveries.get(name)?.offerAtMs ?? 0) - (b.deliveries.get(name)?.offerAtMs ?? 0))
  }

  offered(delivery: ModelDelivery, leaseId: string, instanceId: string): void {
    const leaseEndsMs = this.nowMs + options.leaseMs
    Object.assign(delivery, { state: 'offered', offers: delivery.offers + 1, leaseId, leaseEndsMs, instanceId })
  }

  receiverConnected(name: Receiver, instanceId: string): void {
    for (const { deliveries } of this.transfers) {
      const delivery = deliveries.get(name)
      if (delivery?.state === 'offered' && delivery.instanceId === instanceId) this.#wait(delivery, 0)
      if (delivery?.state === 'waiting') delivery.offerAtMs = Math.min(delivery.offerAtMs, this.nowMs)
    }
  }

  /** The problem that a receiver gets for this lease, or null when the lease is the current one. */
  leaseProblem(delivery: ModelDelivery | undefined, leaseId: string): string | null {
    if (delivery === undefined) return 'not-found'
    if (delivery.state === 'delivered' || delivery.state === 'failed') return 'delivery-ended'
    return delivery.state === 'offered' && delivery.leaseId === leaseId ? null : 'lease-lost'
  }

  fetch(transfer: ModelTransfer, name: Receiver, partNumber: number, leaseId: string): string {
    const delivery = transfer.deliveries.get(name)
    const problem = this.leaseProblem(delivery, leaseId)
    if (problem !== null || delivery === undefined) return problem ?? 'not-found'
    if (delivery.leaseEndsMs < this.nowMs + options.leaseMs * RENEW_BELOW) {
      delivery.leaseEndsMs = this.nowMs + options.leaseMs
    }
    if (partNumber > (files[transfer.fileIndex]?.parts.length ?? 0)) return 'part-unknown'
    return transfer.held.get(partNumber) ?? 'part-pending'
  }

  dispose(
    transfer: ModelTransfer,
    name: Receiver,
    answer: { disposition: string; leaseId: string; manifestDigest: string; code: string },
  ): string {
    const delivery = transfer.deliveries.get(name)
    if (delivery === undefined) return 'not-found'
    const isSameLease = delivery.leaseId === answer.leaseId
    if (delivery.state === 'delivered' && answer.disposition === 'received' && isSameLease) return 'delivered'
    if (delivery.state === 'failed' && answer.disposition !== 'received' && isSameLease) return 'failed'
    const problem = this.leaseProblem(delivery, answer.leaseId)
    if (problem !== null) return problem
    switch (answer.disposition) {
      case 'received':
        if (transfer.state !== 'stored') return 'request-invalid'
        if (answer.manifestDigest !== this.manifestDigest(transfer)) return 'manifest-mismatching'
        delivery.state = 'delivered'
        transfer.told.push(`delivered ${name}`)
        this.#endIfAllAnswered(transfer)
        return 'delivered'
      case 'resend':
        if (delivery.resends + 1 < options.attemptsMax) {
          delivery.resends += 1
          delivery.leaseEndsMs = this.nowMs + options.leaseMs
          return 'offered'
        }
        break
      case 'released':
        this.#offerLater(delivery)
        return 'waiting'
    }
    this.#fail(transfer, name, delivery, answer.code)
    return 'failed'
  }

  cancel(transfer: ModelTransfer): void {
    if (transfer.state === 'receiving') this.#endUnstored(transfer, 'cancelled', 'cancelled')
    else if (transfer.state === 'stored') this.#failOpen(transfer, () => 'cancelled')
  }

  sweep(): void {
    for (const transfer of this.transfers) {
      if (transfer.expiresAtMs > this.nowMs) continue
      if (transfer.state === 'receiving') this.#endUnstored(transfer, 'expired', 'expired')
      else if (transfer.state === 'stored') {
        this.#failOpen(transfer, (delivery) => (delivery.offers > 0 ? 'receiver-silent' : 'expired'))
      }
    }
    for (const transfer of this.transfers) {
      if (transfer.state !== 'receiving' || transfer.deadlineMs === null || transfer.deadlineMs > this.nowMs) continue
      transfer.held.clear()
      this.#again(transfer, null)
    }
    for (const { deliveries } of this.transfers) {
      for (const delivery of deliveries.values()) {
        if (delivery.state !== 'offered' || delivery.leaseEndsMs > this.nowMs) continue
        this.#offerLater(delivery)
      }
    }
  }

  /** Takes over the real state after concurrent calls. */
  adopt(transfer: ModelTransfer, real: Transfer, held: ReadonlyMap<number, string>, told: readonly string[]): void {
    transfer.state = real.state
    transfer.attempt = real.attempt
    transfer.deadlineMs = real.state === 'receiving' ? real.uploadDeadlineMs : null
    if (real.state === 'receiving' || real.state === 'stored') transfer.held = new Map(held)
    transfer.told = [...told]
    for (const delivery of real.deliveries) {
      const modelled = transfer.deliveries.get(delivery.receiver as Receiver)
      if (modelled !== undefined) adoptDelivery(modelled, delivery)
    }
  }

  #offerLater(delivery: ModelDelivery): void {
    const pauseMs = options.offerPauseMsMin * 2 ** (delivery.offers - 1)
    this.#wait(delivery, Math.min(options.offerPauseMsMax, pauseMs))
  }

  #firsts(transfer: ModelTransfer): string[] {
    return transfer.told.filter((one) => !one.includes(' '))
  }

  #again(transfer: ModelTransfer, deadlineMs: number | null): string {
    if (transfer.attempt >= options.attemptsMax) {
      this.#endUnstored(transfer, 'refused', 'attempts-exhausted')
      return 'refused'
    }
    transfer.attempt += 1
    transfer.deadlineMs = deadlineMs
    transfer.told.push('resend')
    return 'resend'
  }

  #endUnstored(transfer: ModelTransfer, state: 'refused' | 'cancelled' | 'expired', code: string): void {
    transfer.state = state
    transfer.deadlineMs = null
    transfer.told.push('refused')
    for (const delivery of transfer.deliveries.values()) {
      if (delivery.state === 'waiting' || delivery.state === 'offered')
        Object.assign(delivery, { state: 'failed', code })
    }
  }

  #failOpen(transfer: ModelTransfer, codeOf: (delivery: ModelDelivery) => string): void {
    for (const [name, delivery] of transfer.deliveries) {
      if (delivery.state === 'waiting' || delivery.state === 'offered') {
        this.#fail(transfer, name, delivery, codeOf(delivery))
      }
    }
  }

  #fail(transfer: ModelTransfer, name: Receiver, delivery: ModelDelivery, code: string): void {
    Object.assign(delivery, { state: 'failed', code })
    if (transfer.state !== 'stored') return
    transfer.told.push(`failed ${name}`)
    this.#endIfAllAnswered(transfer)
  }

  #endIfAllAnswered(transfer: ModelTransfer): void {
    const states = [...transfer.deliveries.values()].map(({ state }) => state)
    if (states.every((state) => state === 'delivered' || state === 'failed')) transfer.state = 'ended'
  }

  #wait(delivery: ModelDelivery, pauseMs: number): void {
    Object.assign(delivery, { state: 'waiting', leaseId: null, offerAtMs: this.nowMs + pauseMs })
  }
}

function adoptDelivery(modelled: ModelDelivery, delivery: Delivery): void {
  const { state, offers, resends } = delivery
  Object.assign(modelled, { state, offers, resends })
  switch (delivery.state) {
    case 'waiting':
      Object.assign(modelled, { leaseId: null, offerAtMs: delivery.offerAtMs })
      break
    case 'offered': {
      const { leaseId, instanceId, expiresAtMs } = delivery.lease
      Object.assign(modelled, { leaseId, instanceId, leaseEndsMs: expiresAtMs })
      break
    }
    case 'delivered':
      modelled.leaseId = delivery.leaseId
      break
    case 'failed':
      Object.assign(modelled, { leaseId: delivery.leaseId, code: delivery.problem.code })
  }
}

/** The short form of a notification. */
export function shortOf(notification: Notification): string {
  return 'receiver' in notification
    ? `${notification.notification} ${notification.receiver}`
    : notification.notification
}
