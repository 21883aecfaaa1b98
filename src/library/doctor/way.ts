/**
 * Finds out by trial what lies between this machine and a portal. Nothing stays at the portal: parts go to transfers that were never
 * announced, and whole bodies carry a wrong digest, so that the portal reads them to the end and then refuses them.
 */
import type { ClientRequest } from 'node:http'
import { sleep } from '../../async/index.ts'
import {
  isAboutToken,
  NoResponseError,
  type PortalClient,
  PortalClock,
  RemoteProblem,
  tokenRemovedText,
} from '../../client/index.ts'
import { isSystemStoreLoaded } from '../../client/node-authorities.ts'
import type { NodeRoutes } from '../../client/node-routes.ts'
import {
  bytesText,
  durationText,
  type Limits,
  newTransferId,
  partSizeBytesDefault,
  partSizeBytesMin,
  printable,
  randomText,
} from '../../protocol/index.ts'
import { bad, type Finding, note, ok } from './finding.ts'
import { type Probed, probeRequest } from './probe.ts'

const ANSWER_MS = 20_000
const STREAM_MS = 8_000
const HELD_SECONDS = 2
/** The slices of a slow upload, one per second. Proxies that limit the time of a request do so after ten seconds or more. */
const SLICES = 16
const SLICE_BYTES = 64 * 1024
const SLICE_EVERY_MS = 1_000
/** How long the rest of a part is held back. A refusal in this time proves that the portal answers before the whole body. */
const EARLY_MS = 2_000
const SIZES_BYTES = [partSizeBytesDefault, 1024 * 1024, 256 * 1024, partSizeBytesMin]
/** Header fields by which proxies reveal themselves. */
const TRACES = ['via', 'server', 'x-cache', 'x-served-by', 'cf-ray', 'alt-svc'] as const
const RANDOM_BYTES = 9
const LOOK_MS = 50
/** The size of a body that neither a proxy nor the portal should accept. */
const UNWANTED_BYTES = 1024 * 1024
/** A digest that matches no content sent here. */
const NO_DIGEST = `sha-256=:${Buffer.alloc(32).toString('base64')}:`

export interface Way {
  readonly portalUrl: string
  readonly client: PortalClient
  readonly routes: NodeRoutes
  /** Null without an account: then only checks that need none are made. */
  readonly token: string | null
  readonly signal: AbortSignal
}

/** Checks the way step by step. Stops at a failure that has to be corrected before later checks make sense. */
export async function* tryWay(way: Way): AsyncGenerator<Finding> {
  yield* tryPortal(way)
  if (way.token === null) {
    yield note('account', 'no profile: streams, uploads and the token were not tried')
    return
  }
  const { account, finding } = await tryToken(way)
  yield finding
  if (account === null) return
  yield await tryStream(way)
  const passing = await tryPassing(way)
  yield passing
  yield await trySizes(way, account, passing.verdict === 'ok')
  yield await trySlowUpload(way, account)
  yield await tryEarlyRefusal(way)
  yield await tryPaths(way)
}

async function* tryPortal({ portalUrl, client, routes, signal }: Way): AsyncGenerator<Finding> {
  // The first request loads the system's certificates if they are needed.
  const limits = await client.limits({ signal })
  const seen = await probeRequest(`${portalUrl}/v1/limits`, {
    method: 'GET',
    headers: { 'accept-encoding': 'gzip, br, zstd' },
    routes,
    timeoutMs: ANSWER_MS,
    signal,
  })
  yield ok('portal', `answers after ${durationText(seen.afterMs)}; parts up to ${bytesText(limits.partSizeBytesMax)}`)
  if (seen.tls === null) yield note('tls', 'plain http: nothing is encrypted on this way')
  else {
    const { protocol, issuer, validTo } = seen.tls
    const store = isSystemStoreLoaded() ? "the system's certificate store" : "Node's own certificates"
    yield ok('tls', printable(`${protocol}, certificate by ${issuer}, trusted by ${store}, valid to ${validTo}`))
  }
  yield tracesIn(seen)
  yield clockOf(limits)
}

function tracesIn({ headers }: Probed): Finding {
  const traces = TRACES.flatMap((name) => (headers[name] === undefined ? [] : [`${name}: ${headers[name]}`]))
  const encoding = headers['content-encoding']
  if (encoding !== undefined) traces.push(`content-encoding: ${encoding} (the portal compresses nothing)`)
  return traces.length === 0
    ? ok('between', 'nothing shows itself in the answers')
    : note('between', printable(`something answers along: ${traces.join('; ')}`))
}

function clockOf({ at }: Limits): Finding {
  if (at === undefined) return note('clock', 'the portal does not tell its time')
  const clock = new PortalClock({ at })
  const problem = clock.problem()
  return problem === null
    ? ok('clock', `differs from the portal's by ${durationText(Math.abs(clock.aheadMs))}`)
    : note('clock', problem.message)
}

async function tryToken({ client, signal }: Way): Promise<{ account: string | null; finding: Finding }> {
  try {
    const { account } = await client.account({ signal })
    return { account, finding: ok('token', `the portal knows this account as ${account}`) }
  } catch (error) {
    if (!(error instanceof RemoteProblem) || !isAboutToken(error)) throw error
    const isRemoved = error.code === 'credentials-missing'
    const text = isRemoved ? tokenRemovedText : printable(`${error.message} (${error.code})`)
    return { account: null, finding: bad('token', text, 'refused') }
  }
}

async function tryStream({ client, signal }: Way): Promise<Finding> {
  const startedAtMs = performance.now()
  const late = AbortSignal.timeout(STREAM_MS)
  try {
    for await (const _ of client.watchEvents({}, { signal: AbortSignal.any([signal, late]) })) break
    return ok('streams', `begin after ${durationText(performance.now() - startedAtMs)}`)
  } catch (error) {
    signal.throwIfAborted()
    if (!late.aborted && !(error instanceof NoResponseError)) throw error
  }
  const { after } = await client.heldEvents(null, 0, { signal })
  await client.heldEvents(after, HELD_SECONDS, { signal })
  return note(
    'streams',
    'do not begin: something in between holds answers back. The portal is asked again and again instead',
  )
}

/** The result of an upload: the answer of the portal, or how it ended without one. */
type Upload =
  | { readonly code: string; readonly afterMs: number }
  | { readonly code: null; readonly reason: string; readonly isAnswered: boolean }

async function upload(url: string, request: Parameters<typeof probeRequest>[1]): Promise<Upload> {
  try {
    const { code, status, afterMs } = await probeRequest(url, request)
    if (code !== null) return { code, afterMs }
    return { code, reason: `HTTP status ${status}, not from the portal`, isAnswered: true }
  } catch (error) {
    if (!(error instanceof NoResponseError)) throw error
    return { code: null, reason: printable(error.message), isAnswered: false }
  }
}

/** Uploads a part of an unknown transfer. The portal refuses it before the body, most of which is held back for a while. */
function uploadPart({ portalUrl, routes, token, signal }: Way, sizeBytes: number): Promise<Upload> {
  const headers = {
    authorization: `Bearer ${token}`,
    'content-type': 'application/octet-stream',
    'content-digest': NO_DIGEST,
    'content-length': String(sizeBytes),
  }
  const write = async (request: ClientRequest, isOver: () => boolean): Promise<void> => {
    const head = Math.min(SLICE_BYTES, sizeBytes) - 1
    request.write(Buffer.alloc(head))
    for (let waitedMs = 0; waitedMs < EARLY_MS && !isOver(); waitedMs += LOOK_MS) await sleep(LOOK_MS, signal)
    if (!isOver()) request.end(Buffer.alloc(sizeBytes - head))
  }
  const url = `${portalUrl}/v1/transfers/${newTransferId()}/parts/1`
  return upload(url, { method: 'PUT', headers, write, routes, timeoutMs: ANSWER_MS, signal })
}

/** Uploads a file to the own account with a wrong digest. The portal reads it to the end, refuses it, and keeps no record. */
function uploadWhole(
  { portalUrl, routes, token, signal }: Way,
  account: string,
  write: NonNullable<Parameters<typeof probeRequest>[1]['write']>,
  timeoutMs: number,
): Promise<Upload> {
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    'content-type': 'application/octet-stream',
    'repr-digest': NO_DIGEST,
  }
  // Sends the headers first, so that Node sends no Content-Length. With a known length the portal would announce a transfer.
  const writeUnannounced: typeof write = (request, isOver) => {
    request.flushHeaders()
    return write(request, isOver)
  }
  const url = `${portalUrl}/v1/to/${account}/doctor`
  return upload(url, { method: 'PUT', headers, write: writeUnannounced, routes, timeoutMs, signal })
}

async function tryPassing(way: Way): Promise<Finding> {
  const told = await uploadPart(way, SLICE_BYTES)
  return told.code !== null && told.afterMs < EARLY_MS
    ? ok('uploads', 'are passed on as they come')
    : note('uploads', 'get no answer before their end: something in between collects them, or holds answers back')
}

/** @param hasEarlyAnswers where not, the refusal of a part may get lost with its connection, which says nothing about sizes */
async function trySizes(way: Way, account: string, hasEarlyAnswers: boolean): Promise<Finding> {
  let refusal = ''
  for (const sizeBytes of SIZES_BYTES) {
    const end = async (request: ClientRequest) => void request.end(Buffer.alloc(sizeBytes))
    const part = await uploadPart(way, sizeBytes)
    const isRefused = part.code === null && (hasEarlyAnswers || part.isAnswered)
    const told = isRefused ? part : await uploadWhole(way, account, end, ANSWER_MS)
    if (told.code === null) {
      refusal ||= `${bytesText(sizeBytes)}: ${told.reason}`
      continue
    }
    return refusal === ''
      ? ok('upload size', `${bytesText(sizeBytes)} get through`)
      : note('upload size', `no more than ${bytesText(sizeBytes)} get through (${refusal}); files go in smaller parts`)
  }
  return bad('upload size', `not even ${bytesText(partSizeBytesMin)} get through (${refusal})`, 'no-answer')
}

async function trySlowUpload(way: Way, account: string): Promise<Finding> {
  const startedAtMs = performance.now()
  const write = async (request: ClientRequest, isOver: () => boolean): Promise<void> => {
    for (let slice = 0; slice < SLICES && !isOver() && !request.destroyed; slice++) {
      request.write(Buffer.alloc(SLICE_BYTES))
      await sleep(SLICE_EVERY_MS, way.signal)
    }
    if (!isOver()) request.end()
  }
  const told = await uploadWhole(way, account, write, SLICES * SLICE_EVERY_MS + ANSWER_MS)
  const after = durationText(performance.now() - startedAtMs)
  return told.code === null
    ? note('upload time', `one that takes long is ended after ${after} (${told.reason}); files go in smaller parts`)
    : ok('upload time', `one of ${after} gets through`)
}

async function tryEarlyRefusal({ portalUrl, routes, token, signal }: Way): Promise<Finding> {
  const nobody = `doctor-${randomText(RANDOM_BYTES).toLowerCase().replaceAll('_', '-')}x`
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    expect: '100-continue',
    'content-length': String(UNWANTED_BYTES),
  }
  // The portal refuses the unknown account before the body. If `100` came nevertheless, a proxy sent it.
  const write = async (request: ClientRequest) => {
    request.once('continue', () => request.end(Buffer.alloc(UNWANTED_BYTES)))
    request.flushHeaders()
  }
  const url = `${portalUrl}/v1/to/${nobody}/probe`
  try {
    const { wasAskedForBody, code } = await probeRequest(url, {
      method: 'PUT',
      headers,
      write,
      routes,
      timeoutMs: ANSWER_MS,
      signal,
    })
    if (!wasAskedForBody && code !== null) return ok('early refusals', 'come before the upload')
    return note(
      'early refusals',
      'come after the upload: something in between asks for bodies by itself (Expect: 100-continue)',
    )
  } catch (error) {
    if (!(error instanceof NoResponseError)) throw error
    return note('early refusals', `get lost (${printable(error.message)})`)
  }
}

async function tryPaths({ portalUrl, routes, token, signal }: Way): Promise<Finding> {
  const url = `${portalUrl}/v1/accounts/not%2Fthere`
  const headers = { authorization: `Bearer ${token}` }
  const { code } = await probeRequest(url, { method: 'GET', headers, routes, timeoutMs: ANSWER_MS, signal })
  return code === 'not-found' || code === null
    ? note(
        'addresses',
        'an encoded slash is decoded or refused: with curl, names with a slash do not arrive as they are',
      )
    : ok('addresses', 'get through as they are written')
}
