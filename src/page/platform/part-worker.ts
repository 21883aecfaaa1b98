/**
 * A worker that does the work on whole parts, one after another: reading, digests, sealing and opening. WebCrypto copies what it is
 * given, so this work would hold up the thread of the page.
 */
import './disposables.ts'
import { compiledBlake3 } from '../../digests/browser-compiled-blake3.ts'
import { type DigestDriver, digestDriver } from '../../digests/index.ts'
import { type DigestAlgorithm, Problem, toHex } from '../../protocol/index.ts'
import type { PartDigests, PartSeal } from '../../trust/index.ts'
import { openPart, sealPart } from '../../trust/part-seal.ts'

export type PartTask = {
  readonly algorithm: DigestAlgorithm
  /** Null where the transfer is not sealed. */
  readonly seal: PartSeal | null
} & (
  | { readonly task: 'read'; readonly content: Blob }
  /** The buffer is transferred with the request. With another digest than the expected one the part stays as it is. */
  | { readonly task: 'open'; readonly bytes: Uint8Array<ArrayBuffer>; readonly expected: string | null }
)

/** A part after the work on it. Its buffer is transferred to the page. */
export interface WorkedPart extends PartDigests {
  /** The part as it is sent, for `read`; its content, for `open`. */
  readonly bytes: Uint8Array<ArrayBuffer>
}

export type PartAnswer =
  | { readonly part: WorkedPart }
  /** The seal is broken. */
  | { readonly isBroken: true }
  /** The browser does not read the content: name and message of its DOMException, which not every browser passes on. */
  | { readonly unreadable: { readonly name: string; readonly message: string } }

const compiling = compiledBlake3()

self.onmessage = async ({ data }: MessageEvent<PartTask>) => {
  try {
    const answer = data.task === 'read' ? await read(data) : await open(data)
    self.postMessage(answer, { transfer: 'part' in answer ? [answer.part.bytes.buffer] : [] })
  } catch (error) {
    // An error after an `await` does not reach the page by itself.
    self.reportError(error)
  }
}

async function read({ content, algorithm, seal }: PartTask & { readonly task: 'read' }): Promise<PartAnswer> {
  let plain: Uint8Array<ArrayBuffer>
  try {
    plain = new Uint8Array(await content.arrayBuffer())
  } catch (error) {
    if (error instanceof DOMException) return { unreadable: { name: error.name, message: error.message } }
    throw error
  }
  const contentDigest = await digestOf(algorithm, plain)
  if (seal === null) return { part: { digest: contentDigest, contentDigest, bytes: plain } }
  const bytes = await sealPart(seal.partKey, seal.position, plain)
  return { part: { digest: await digestOf(algorithm, bytes), contentDigest, bytes } }
}

async function open(task: PartTask & { readonly task: 'open' }): Promise<PartAnswer> {
  const { bytes, algorithm, expected, seal } = task
  const digest = await digestOf(algorithm, bytes)
  if (seal === null || (expected !== null && digest !== expected)) {
    return { part: { digest, contentDigest: digest, bytes } }
  }
  try {
    const content = await openPart(seal.partKey, seal.position, bytes)
    return { part: { digest, contentDigest: await digestOf(algorithm, content), bytes: content } }
  } catch (error) {
    if (error instanceof Problem && error.code === 'seal-broken') return { isBroken: true }
    throw error
  }
}

async function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (algorithm === 'sha-256') return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)))
  const hasher = driverOf(algorithm, await compiling).create()
  hasher.update(bytes)
  return hasher.digest()
}

function driverOf(algorithm: DigestAlgorithm, compiled: DigestDriver | null): DigestDriver {
  return compiled !== null && compiled.name === algorithm ? compiled : digestDriver(algorithm)
}
