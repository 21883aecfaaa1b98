import { readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { type ReceiptProof, verifyReceipt } from '../library/verify-receipt.ts'
import { exitCodes, UsageError } from './exit.ts'
import { fingerprint, jsonOption, option, pathOf } from './options.ts'
import { print } from './output.ts'
import { fileReason } from './system-errors.ts'

interface VerifyFlags {
  readonly receipt: string
  readonly fingerprint?: string
  readonly json?: boolean
}

export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .summary('prove that a file is the one that a receipt is about')
    .description(
      'Proves, without a portal, that FILE is exactly the file for which the receiver signed. Check also whose keys signed\n' +
        "it: compare the fingerprint with the receiver's own ('golooader whoami'), or give it with --fingerprint.",
    )
    .argument('<file>', 'the file')
    .addOption(option('--receipt <file>', 'what golooader receipt --out saved').argParser(pathOf).makeOptionMandatory())
    .addOption(option('--fingerprint <fingerprint>', 'the keys that must have signed').argParser(fingerprint))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Example:
  golooader verify report.pdf --receipt report.receipt

Exit codes: 0 proven · 2 wrong usage · 3 another file, another signature, or no valid receipt`,
    )
    .action(async (path: string, flags: VerifyFlags) => {
      const text = await readReceiptFile(flags.receipt)
      const { fingerprint: wanted } = flags
      const proof = await verifyReceipt(path, text, wanted === undefined ? {} : { fingerprint: wanted })
      print(flags.json === true ? `${JSON.stringify(proof)}\n` : proofText(proof, wanted !== undefined))
      process.exitCode = proof.isProven ? exitCodes.ok : exitCodes.failed
    })
}

function proofText({ isProven, reason, fingerprint: signedBy, claims }: ReceiptProof, wasNamed: boolean): string {
  if (!isProven) return `✘ not proven: ${reason}\n`
  const { receiver, at } = claims ?? {}
  const compare = wasNamed ? ', as you asked' : `: compare that with what ${receiver} says (golooader whoami)`
  return `✔ proven: ${receiver} received exactly this file, ${at}\n  signed with the keys ${signedBy}${compare}\n`
}

function readReceiptFile(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the receipt cannot be read: ${fileReason(path, cause)}`, { cause })
  })
}
