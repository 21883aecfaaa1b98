import type { Command } from 'commander'
import { connect, shortPatience } from './connect.ts'
import { interruptSignal } from './exit.ts'
import { insecureOption, jsonOption, profileOption } from './options.ts'
import { requireTransferId, showOne } from './status.ts'

export function cancelCommand(program: Command): void {
  program
    .command('cancel')
    .summary('take back a transfer that has not ended')
    .description(
      'Cancels a transfer: the portal deletes it, and receivers that have not finished are told.\n' +
        'What a receiver has already taken in stays with it.',
    )
    .argument('<transfer>', 'id of the transfer: golooader status')
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  golooader cancel 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c')
    .action(async (transferId: string, flags: { profile?: string; insecure?: boolean; json?: boolean }) => {
      requireTransferId(transferId)
      const signal = interruptSignal()
      const { client, keys } = await connect(flags.profile, flags)
      try {
        const transfer = await shortPatience(signal).insist(() => client.cancel(transferId, { signal }))
        await showOne(transfer, keys, flags.json === true)
      } finally {
        await client.close()
      }
    })
}
