/** A world in which alice sends by clients of tus, and bob receives. A faulty network lies between her and the portal. */
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { type DetailedError, Upload, type UploadOptions } from 'tus-js-client'
import { expect, onTestFinished } from 'vitest'
import { FaultyNetwork } from '../harness/proxy.ts'
import { sha256Of, until, type World } from '../harness/world.ts'
import { handWorld } from '../one-request/curl.ts'

export const KIB = 1024
export const MIB = 1024 * KIB
/** The pauses of a client that does not give up. */
const RETRY_DELAYS_MS = new Array<number>(200).fill(50)

/** The drafts of the IETF that tus-js-client speaks, too. Its types do not have the option. */
export type Protocol = 'tus-v1' | 'ietf-draft-03' | 'ietf-draft-05'
export type TusOptions = UploadOptions & { readonly protocol?: Protocol }

/** The end of an upload by tus-js-client. */
export interface Uploaded {
  readonly url: string
  /** A field of the last answer. */
  readonly header: (name: string) => string | undefined
}

/** An upload by tus-js-client that has begun. */
export interface Uploading {
  readonly upload: Upload
  /** @throws DetailedError when the client gives up */
  readonly ended: Promise<Uploaded>
}

export async function tusWorld(args: readonly string[] = []) {
  const { world, portal, authorization } = await handWorld(args)
  const network = await FaultyNetwork.open(() => world.portalUrl)
  onTestFinished(() => network[Symbol.asyncDispose]())
  const headers = { Authorization: authorization.replace('Authorization: ', '') }
  const endpoint = `${network.url}/v1/tus`
  const metadata = { filename: 'report.pdf', filetype: 'application/pdf', to: 'bob' }
  return { world, portal, network, endpoint, authorization, headers, metadata }
}

/** Begins to send by tus-js-client. */
export function startUpload(source: Buffer | Readable, options: TusOptions): Uploading {
  const { promise, resolve, reject } = Promise.withResolvers<Uploaded>()
  const upload = new Upload(source as unknown as Buffer, {
    retryDelays: RETRY_DELAYS_MS,
    ...options,
    onSuccess: ({ lastResponse }) => resolve({ url: upload.url ?? '', header: (name) => lastResponse.getHeader(name) }),
    onError: reject,
  })
  promise.catch(() => {})
  onTestFinished(() => upload.abort())
  upload.start()
  return { upload, ended: promise }
}

export function tusUpload(source: Buffer | Readable, options: TusOptions): Promise<Uploaded> {
  return startUpload(source, options).ended
}

/** The status with which a portal ended an upload. */
export async function refusalOf(uploading: Promise<unknown>): Promise<{ status: number; code: string }> {
  const error = await uploading.then(
    () => null,
    (cause: DetailedError) => cause,
  )
  const response = error?.originalResponse
  if (response == null) throw new Error(`the portal refused nothing: ${error}`)
  return { status: response.getStatus(), code: JSON.parse(response.getBody()).code }
}

/** Alice is told both notifications of a file once, and bob has it once, unchanged. */
export async function expectDelivered(world: World, path: string, name = 'report.pdf'): Promise<void> {
  const client = await world.client('alice')
  const told = async () => (await client.events()).events.map(({ notification }) => notification)
  await until(async () => (await told()).includes('delivered'), 'it is delivered')
  expect(await told()).toEqual(['stored', 'delivered'])
  expect(await world.received('bob')).toEqual([name])
  expect(await sha256Of(join(world.inbox('bob'), name))).toBe(await sha256Of(path))
}
