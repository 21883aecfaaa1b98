import { open, readFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { digestDriver } from '../digests/index.ts'
import { Problem, partCount, partSpan } from '../protocol/index.ts'
import {
  contentDigestOf,
  fingerprintOf,
  parseFingerprint,
  parseReceiptFile,
  type ReceiptClaims,
  type ReceiptFile,
  verifyReceipt,
} from '../trust/index.ts'
import { exitCodes, UsageError } from './exit.ts'
import { jsonOption, option } from './options.ts'
import { printable } from './text.ts'

const READ_BYTES = 1024 * 1024

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
      'Proves, without any portal, that FILE is exactly what the receiver signed for. Whose keys signed it is for you to\n' +
        'judge: compare the fingerprint with what the receiver says, or give it with --fingerprint.',
    )
    .argument('<file>', 'the file')
    .addOption(option('--receipt <file>', 'what golooader receipt --out saved').makeOptionMandatory())
    .addOption(option('--fingerprint <fingerprint>', 'the keys that must have signed'))
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Example:
  golooader verify report.pdf --receipt report.receipt

Exit codes: 0 proven · 2 wrong usage · 3 another file, another signature, or no valid receipt`,
    )
    .action(async (path: string, flags: VerifyFlags) => {
      const receipt = await readReceiptFile(flags.receipt)
      process.exitCode = await verify(path, receipt, flags)
    })
}

async function verify(path: string, receipt: ReceiptFile, flags: VerifyFlags): Promise<number> {
  const fingerprint = await fingerprintOf(receipt.keys)
  const wanted = flags.fingerprint === undefined ? null : parseFingerprint(flags.fingerprint)
  if (flags.fingerprint !== undefined && wanted === null) {
    throw new UsageError(`'${printable(flags.fingerprint)}' is not a fingerprint`)
  }
  const failure = await failureOf(path, receipt, { fingerprint, wanted })
  const { receiver, at } = failure.claims ?? {}
  if (flags.json === true) {
    process.stdout.write(
      `${JSON.stringify({ isProven: failure.reason === null, reason: failure.reason, fingerprint, claims: failure.claims })}\n`,
    )
  } else if (failure.reason === null) {
    process.stdout.write(
      `✔ proven: ${receiver} received exactly this file, ${at}\n  signed with the keys ${fingerprint}` +
        `${wanted === null ? `: compare that with what ${receiver} says (golooader whoami)` : ', as you asked'}\n`,
    )
  } else {
    process.stdout.write(`✘ not proven: ${failure.reason}\n`)
  }
  return failure.reason === null ? exitCodes.ok : exitCodes.failed
}

/** @returns why it proves nothing, null where it does; and what the receipt says, where its signature is valid */
async function failureOf(
  path: string,
  { receipt, keys, salt, receiver, transferId }: ReceiptFile,
  { fingerprint, wanted }: { fingerprint: string; wanted: string | null },
): Promise<{ reason: string | null; claims: ReceiptClaims | null }> {
  let claims: ReceiptClaims | null = null
  try {
    claims = await verifyReceipt(receipt, keys)
    if (claims.receiver !== receiver || claims.transferId !== transferId) {
      return { reason: 'the file of the receipt says other things than its receiver signed', claims }
    }
    if (wanted !== null && wanted !== fingerprint) {
      return { reason: `it was signed with the keys ${fingerprint}, not with ${wanted}`, claims }
    }
    return { reason: await contentFailureOf(path, claims, salt), claims }
  } catch (error) {
    if (error instanceof Problem) return { reason: error.message, claims }
    throw error
  }
}

async function contentFailureOf(path: string, claims: ReceiptClaims, salt: string | null): Promise<string | null> {
  const handle = await open(path).catch((cause: unknown) => {
    throw new UsageError(`${printable(path)} cannot be read`, { cause })
  })
  try {
    const { size } = await handle.stat()
    if (size !== claims.sizeBytes) {
      return `the file has ${size} bytes, and ${claims.sizeBytes} were received`
    }
    const driver = digestDriver(claims.digestAlgorithm)
    const digests: string[] = []
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let partNumber = 1; partNumber <= partCount(claims); partNumber++) {
      const { offsetBytes, lengthBytes } = partSpan(claims, partNumber)
      const hasher = driver.create()
      for (let at = 0; at < lengthBytes; ) {
        const { bytesRead } = await handle.read(buffer, 0, Math.min(READ_BYTES, lengthBytes - at), offsetBytes + at)
        if (bytesRead === 0) return 'the file became shorter while it was read'
        hasher.update(buffer.subarray(0, bytesRead))
        at += bytesRead
      }
      digests.push(hasher.digest())
    }
    const actual = contentDigestOf(driver.name, salt === null ? null : Buffer.from(salt, 'base64url'), digests)
    return actual === claims.contentDigest ? null : 'the file has other content than was received'
  } finally {
    await handle.close()
  }
}

async function readReceiptFile(path: string): Promise<ReceiptFile> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageError(`the receipt ${printable(path)} cannot be read`, { cause })
  })
  return parseReceiptFile(text)
}
