import { writeFile } from 'node:fs/promises'
import { type Command, InvalidArgumentError } from 'commander'
import { FileReceipts } from '../profile/index.ts'
import { isAccountName } from '../protocol/index.ts'
import { checkReceipts } from '../sender/index.ts'
import { fingerprintOf, type ReceiptFile, readReceipt, receiptText } from '../trust/index.ts'
import { connect, knownSelf, shortPatience } from './connect.ts'
import { interruptSignal, UsageError } from './exit.ts'
import { insecureOption, jsonOption, option, profileOption } from './options.ts'
import { stateFolder } from './profiles.ts'
import { requireTransferId } from './status.ts'
import { bytesText } from './text.ts'

interface ReceiptFlags {
  readonly profile?: string
  readonly insecure?: boolean
  readonly receiver?: string
  readonly out?: string
  readonly json?: boolean
}

export function receiptCommand(program: Command): void {
  program
    .command('receipt')
    .summary('see, or save, what a receiver signed for')
    .description(
      'Shows the receipt of a transfer you sent: the receiver signed that it has exactly this file. It is verified first.\n' +
        'Receipts are kept on this machine; from another one of yours they are fetched from the portal.',
    )
    .argument('<transfer>', 'id of the transfer: golooader status')
    .addOption(
      option('--receiver <name>', 'the receiver, where there are several').argParser((name) => {
        if (!isAccountName(name)) throw new InvalidArgumentError(`'${name}' cannot be the name of an account.`)
        return name
      }),
    )
    .addOption(option('--out <file>', 'save it, for golooader verify'))
    .addOption(profileOption())
    .addOption(insecureOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader receipt 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c
  golooader receipt 01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c --out report.receipt
  golooader verify report.pdf --receipt report.receipt`,
    )
    .action(async (transferId: string, flags: ReceiptFlags) => {
      requireTransferId(transferId)
      const receipts = await findReceipts(transferId, flags)
      if (flags.out !== undefined) await save(receipts, flags.out)
      for (const receipt of receipts) await show(receipt, flags.json === true)
    })
}

/** @throws UsageError when there is none */
async function findReceipts(transferId: string, flags: ReceiptFlags): Promise<ReceiptFile[]> {
  const { profile, receiver } = flags
  const isAsked = (one: { receiver: string }): boolean => receiver === undefined || one.receiver === receiver
  const store = new FileReceipts(stateFolder())
  const kept = (await store.of(transferId)).filter(isAsked)
  if (kept.length > 0 && receiver !== undefined) return kept
  const signal = interruptSignal()
  const connection = await connect(profile, flags)
  try {
    const status = await shortPatience(signal).insist(() => connection.client.transfer(transferId, { signal }))
    const { keys } = await knownSelf(connection, signal)
    const checked = keys === null ? [] : await checkReceipts(status, { contacts: connection.contacts, keys })
    const fetched = checked.filter(isAsked).map(({ receipt, problem }) => {
      if (receipt === null) throw problem
      return receipt
    })
    for (const receipt of fetched) await store.keep(receipt)
    if (fetched.length > 0) return fetched
  } catch (error) {
    // What lies here needs no portal.
    if (kept.length === 0) throw error
  } finally {
    await connection.client.close()
  }
  if (kept.length === 0) {
    throw new UsageError(
      'there is no receipt of it: not delivered yet, or to a receiver that signs none. See: golooader status',
    )
  }
  return kept
}

async function save(receipts: readonly ReceiptFile[], path: string): Promise<void> {
  const [receipt, other] = receipts
  if (receipt === undefined || other !== undefined) {
    throw new UsageError('there are receipts of several receivers; say which: --receiver NAME')
  }
  await writeFile(path, receiptText(receipt))
}

async function show(receipt: ReceiptFile, isJson: boolean): Promise<void> {
  const claims = readReceipt(receipt.receipt)
  if (isJson) {
    process.stdout.write(`${JSON.stringify({ ...receipt, claims })}\n`)
    return
  }
  process.stdout.write(
    `receipt of transfer ${claims.transferId}, verified
  from      ${claims.from}
  received  by ${claims.receiver}, ${claims.at}
  size      ${claims.sizeBytes} bytes (${bytesText(claims.sizeBytes)})
  content   ${claims.digestAlgorithm} ${claims.contentDigest}${receipt.salt === null ? '' : ' (salted)'}
  manifest  ${claims.digestAlgorithm} ${claims.manifestDigest}
  signed    with the keys ${await fingerprintOf(receipt.keys)}
`,
  )
}
