import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { type ReceiptProof, verifyReceipt } from '../library/verify-receipt.ts'
import { isGuestName } from '../protocol/index.ts'
import { exitCodes, UsageError } from './exit.ts'
import { excludeOption, fingerprint, jsonOption, option, pathOf } from './options.ts'
import { print } from './output.ts'
import { fileReason } from './system-errors.ts'

interface VerifyFlags {
  readonly receipt: string
  readonly fingerprint?: string
  readonly as?: string
  readonly exclude?: readonly string[]
  readonly json?: boolean
}

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .summary('prove that a file or a folder is the one that a receipt is about')
    .description(
      'Proves, without a portal, that PATH is exactly the file or folder for which the receiver signed. Of a folder, names,\n' +
        'times and executable bits are proven, too: of the one that was sent, or of the one that was received.\n' +
        "Check also whose keys signed it: compare the fingerprint with the receiver's own ('golooader whoami'), or give it with --fingerprint.",
    )
    .argument('<path>', 'the file or folder')
    .addOption(option('--receipt <file>', 'what golooader receipt --out saved').argParser(pathOf).makeOptionMandatory())
    .addOption(option('--fingerprint <fingerprint>', 'the keys that must have signed').argParser(fingerprint))
    .addOption(option('--as <name>', 'the name that the folder had when it was sent, if it has another one now'))
    .addOption(excludeOption('what was left out of the folder when it was sent; may be repeated'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Examples:
  golooader verify report.pdf --receipt report.receipt
  golooader verify photos --receipt photos.receipt

Exit codes: 0 proven · 2 wrong usage · 3 another file, another signature, or no valid receipt`,
    )
    .action(async (path: string, flags: VerifyFlags) => {
      const text = await readReceiptFile(flags.receipt)
      const { fingerprint: wanted } = flags
      const { as, exclude = [] } = flags
      const named = { ...(wanted === undefined ? {} : { fingerprint: wanted }), ...(as === undefined ? {} : { as }) }
      const proof = await verifyReceipt(path, text, { ...named, exclude })
      print(
        flags.json === true
          ? `${JSON.stringify(proof)}\n`
          : proofText(proof, {
              wasNamed: wanted !== undefined,
              what: statSync(path).isDirectory() ? 'folder' : 'file',
            }),
      )
      process.exitCode = proof.isProven ? exitCodes.ok : exitCodes.failed
    })
}

function proofText(
  { isProven, reason, fingerprint: signedBy, claims }: ReceiptProof,
  { wasNamed, what }: { wasNamed: boolean; what: string },
): string {
  if (!isProven) return `✘ not proven: ${reason}\n`
  const { receiver, at } = claims ?? {}
  if (receiver !== undefined && isGuestName(receiver)) {
    return `✔ proven: a person with the link (${receiver}) received exactly this ${what}, ${at}\n  signed with the keys ${signedBy}\n`
  }
  const compare = wasNamed ? ', as you asked' : `: compare that with what ${receiver} says (golooader whoami)`
  return `✔ proven: ${receiver} received exactly this ${what}, ${at}\n  signed with the keys ${signedBy}${compare}\n`
}

function readReceiptFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the receipt cannot be read: ${fileReason(path, cause)}`, { cause })
  })
}
