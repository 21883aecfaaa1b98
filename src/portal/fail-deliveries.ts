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
  const { ledger, metrics } = context
  const stored = await ledger.transfer(transferId)
  if (stored?.state !== 'stored') return
  for (const delivery of stored.deliveries) {
    const { receiverId } = delivery
    let current: Delivery | undefined = delivery
    while (current !== undefined && !isFinalDelivery(current.state)) {
      const from =
        current.state === 'offered'
          ? { state: current.state, leaseId: current.lease.leaseId }
          : { state: 'waiting' as const }
      const problem = problemOf(current).toJSON()
      const moved = await ledger.moveDelivery(transferId, receiverId, from, { state: 'failed', problem })
      if (moved !== null) {
        metrics.notifications.inc({ notification: 'failed' })
        afterMove(context, moved)
        break
      }
      current = (await ledger.delivery(transferId, receiverId))?.delivery
    }
  }
}
