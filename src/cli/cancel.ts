import type { Command } from 'commander'
import { interruptSignal } from './exit.ts'
import {
  insecureOption,
  jsonOption,
  openedProfile,
  type ProfileFlags,
  profileOption,
  systemCaOption,
  transferId,
} from './options.ts'
import { showOne } from './status.ts'

export function cancelCommand(program: Command): void {
  program
    .command('cancel')
    .summary('take back a transfer that has not ended')
    .description(
      'Cancels a transfer: the portal deletes it, and receivers that have not finished are told.\n' +
        'Receivers that have the file keep it.',
    )
    .argument('<transfer>', 'id of the transfer: golooader status', transferId)
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  golooader cancel 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c')
    .action(async (id: string, flags: ProfileFlags & { readonly json?: boolean }) => {
      const signal = interruptSignal()
      await using me = await openedProfile(flags)
      await showOne(await me.cancel(id, { signal }), me, flags.json === true)
    })
}
