import { RemoteProblem } from './answers.ts'

/** `unknown`: the portal never offered the transfer to this account, or has forgotten it. */
export type OwnDeliveryState = 'open' | 'ended' | 'unknown'

/** The state of a delivery, by asking for its offer without a lease. @throws like `ask`, unless the refusal tells the state */
export async function deliveryStateBy(ask: () => Promise<unknown>): Promise<OwnDeliveryState> {
  try {
    await ask()
  } catch (error) {
    if (!(error instanceof RemoteProblem)) throw error
    if (error.code === 'delivery-ended') return 'ended'
    if (error.code === 'not-found') return 'unknown'
    // `lease-lost` means that the delivery is open and will be offered again.
    if (error.code !== 'lease-lost') throw error
  }
  return 'open'
}
