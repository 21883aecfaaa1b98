import { isFinalDelivery, type Problem } from '../protocol/index.ts'
import { afterMove, type PortalContext } from './context.ts'
import type { Delivery } from './ledger/contract.ts'

/**
 * Fails every delivery of a stored transfer that has no outcome yet, whatever else happens to it meanwhile. A transfer
 * that is not stored stays as it is.
 */
export async function failOpenDeliveries(
  context: PortalContext,
  transferId: string,
  problemOf: (delivery: Delivery) => Problem,
): Promise<void> {
  const stored = await context.ledger.transfer(transferId)
  if (stored?.state !== 'stored') return
  for (const { receiverId } of stored.deliveries) await failDelivery(context, transferId, receiverId, problemOf)
}

/**
 * Fails one delivery that has no outcome yet, whatever else happens to it meanwhile. Of a transfer that is not stored
 * its sender is told only once it is.
 */
export async function failDelivery(
  context: PortalContext,
  transferId: string,
  receiverId: number,
  problemOf: (delivery: Delivery) => Problem,
): Promise<void> {
  const { ledger, metrics } = context
  while (true) {
    const current = (await ledger.delivery(transferId, receiverId))?.delivery
    if (current === undefined || isFinalDelivery(current.state)) return
    const from =
      current.state === 'offered'
        ? { state: current.state, leaseId: current.lease.leaseId }
        : { state: 'waiting' as const }
    const problem = problemOf(current).toJSON()
    const moved = await ledger.moveDelivery(transferId, receiverId, from, { state: 'failed', problem })
    if (moved === null) continue
    metrics.notifications.inc({ notification: 'failed' })
    afterMove(context, moved)
    return
  }
}
