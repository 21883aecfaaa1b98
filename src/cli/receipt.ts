import { writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { hasCode } from '../fs/index.ts'
import type { Receipt } from '../library/receipts.ts'
import { isGuestName } from '../protocol/index.ts'
import { fingerprintOf, readReceipt, receiptText } from '../trust/index.ts'
import { interruptSignal, UsageError } from './exit.ts'
import {
  accountName,
  insecureOption,
  jsonOption,
  openedProfile,
  option,
  type ProfileFlags,
  pathOf,
  profileOption,
  systemCaOption,
  transferId,
} from './options.ts'
import { print } from './output.ts'
import { fileReason } from './system-errors.ts'
import { bytesText } from './text.ts'

interface ReceiptFlags extends ProfileFlags {
  readonly receiver?: string
  readonly out?: string
  readonly json?: boolean
}

export function receiptCommand(program: Command): void {
  program
    .command('receipt')
    .summary('show or save the receipt that a receiver signed')
    .description(
      'Shows the receipt of a transfer you sent: the receiver signed that it has exactly this file. It is verified first.\n' +
        'Receipts are kept on this machine. If this machine does not have it, it is fetched from the portal.',
    )
    .argument('<transfer>', 'id of the transfer: golooader status', transferId)
    .addOption(option('--receiver <name>', 'the receiver, where there are several').argParser(accountName))
    .addOption(option('--out <file>', 'save it, for golooader verify').argParser(pathOf))
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(systemCaOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader receipt 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c
  golooader receipt 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c --out report.receipt
  golooader verify report.pdf --receipt report.receipt`,
    )
    .action(async (id: string, flags: ReceiptFlags) => {
      const receipts = await requireReceipts(id, flags)
      if (flags.out !== undefined) await save(receipts, flags.out)
      for (const receipt of receipts) await show(receipt, flags.json === true)
    })
}

/** @throws UsageError when there is none */
async function requireReceipts(id: string, flags: ReceiptFlags): Promise<readonly Receipt[]> {
  await using me = await openedProfile(flags)
  const { receiver } = flags
  const signal = interruptSignal()
  const receipts = await me.receipts(id, { signal, ...(receiver === undefined ? {} : { receiver }) })
  if (receipts.length > 0) return receipts
  throw new UsageError(
    'there is no receipt of it: not delivered yet, or to a receiver that signs none. See: golooader status',
  )
}

async function save(receipts: readonly Receipt[], path: string): Promise<void> {
  const [receipt, other] = receipts
  if (receipt === undefined || other !== undefined) {
    throw new UsageError('there are receipts of several receivers; say which: --receiver NAME')
  }
  await writeFile(path, receiptText(receipt)).catch((cause: unknown) => {
    const what = hasCode(cause, 'ENOENT') ? `folder ${dirname(path)}` : path
    throw new UsageError(`the receipt cannot be saved: ${fileReason(what, cause)}`, { cause })
  })
}

async function show(receipt: Receipt, isJson: boolean): Promise<void> {
  const claims = readReceipt(receipt.receipt)
  if (isJson) {
    print(`${JSON.stringify({ ...receipt, claims })}\n`)
    return
  }
  print(
    `receipt of transfer ${claims.transferId}, verified
  from      ${claims.from}
  received  by ${claims.receiver}${isGuestName(claims.receiver) ? ', a person with the link' : ''}, ${claims.at}
  size      ${claims.sizeBytes} bytes (${bytesText(claims.sizeBytes)})
  content   ${claims.digestAlgorithm} ${claims.contentDigest}${receipt.salt === null ? '' : ' (salted)'}
  manifest  ${claims.digestAlgorithm} ${claims.manifestDigest}
  signed    with the keys ${await fingerprintOf(receipt.keys)}
`,
  )
}
