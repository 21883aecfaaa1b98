import { isFinalDelivery, type Problem } from '../../protocol/index.ts'
import { afterMove, type PortalContext } from '../context.ts'
import type { Delivery } from '../ledger/contract.ts'

/**
 * Fails every open delivery of a stored transfer. A transfer that is not stored stays unchanged.
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
 * Fails one delivery unless it has ended. After a concurrent move it looks at the delivery again. If the transfer is not stored yet,
 * its sender is told once it is.
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
