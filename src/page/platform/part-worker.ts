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
import { directBody } from './direct-body.ts'

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

/** Asks which algorithms the worker computes fast. */
export interface AlgorithmsTask {
  readonly task: 'algorithms'
}

export interface AlgorithmsAnswer {
  /** Fastest first. */
  readonly algorithms: readonly DigestAlgorithm[]
}

export type PartAnswer =
  | { readonly part: WorkedPart }
  /** The seal is broken. */
  | { readonly isBroken: true }
  /** The browser does not read the content: name and message of its DOMException, which not every browser passes on. */
  | { readonly unreadable: { readonly name: string; readonly message: string } }

const compiling = compiledBlake3()

self.onmessage = async ({ data }: MessageEvent<PartTask | AlgorithmsTask>) => {
  try {
    if (data.task === 'algorithms') return self.postMessage(await fastAlgorithms())
    const answer = data.task === 'read' ? await read(data) : await open(data)
    self.postMessage(answer, { transfer: 'part' in answer ? [answer.part.bytes.buffer] : [] })
  } catch (error) {
    // An error after an `await` does not reach the page by itself.
    self.reportError(error)
  }
}

/** WebCrypto copies what it is given, so compiled BLAKE3 is at least as fast; portal and receiver compute it several times as fast. */
async function fastAlgorithms(): Promise<AlgorithmsAnswer> {
  return { algorithms: (await compiling) === null ? ['sha-256'] : ['blake3', 'sha-256'] }
}

async function read({ content, algorithm, seal }: PartTask & { readonly task: 'read' }): Promise<PartAnswer> {
  let plain: Uint8Array<ArrayBuffer>
  try {
    plain = await contentOf(content)
  } catch (error) {
    if (error instanceof DOMException) return { unreadable: { name: error.name, message: error.message } }
    throw error
  }
  const contentDigest = await digestOf(algorithm, plain)
  if (seal === null) return { part: { digest: contentDigest, contentDigest, bytes: plain } }
  const bytes = await sealPart(seal.partKey, seal.position, plain)
  spare = plain.buffer
  return { part: { digest: await digestOf(algorithm, bytes), contentDigest, bytes } }
}

/** Of the part before, because new memory for each part costs as much time as its digest. */
let spare = new ArrayBuffer()

/** @throws DOMException when the browser does not read the file */
async function contentOf(content: Blob): Promise<Uint8Array<ArrayBuffer>> {
  const body = directBody(content.stream())
  try {
    if (!('readInto' in body)) throw new TypeError('this browser reads into no buffers')
    let buffer = spare.byteLength === content.size ? spare : new ArrayBuffer(content.size)
    spare = new ArrayBuffer()
    for (let atByte = 0; atByte < content.size; ) {
      const read = await body.readInto(buffer, atByte)
      if (read.readBytes === 0) throw new TypeError('the content ended early')
      buffer = read.buffer
      atByte += read.readBytes
    }
    return new Uint8Array(buffer)
  } catch {
    // This call says why a file cannot be read.
    return new Uint8Array(await content.arrayBuffer())
  }
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
