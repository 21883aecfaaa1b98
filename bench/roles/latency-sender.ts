/**
 * A sender that sends one file after another at an even pace, whatever became of those before, and tells how long each took.
 *
 * Usage: latency-sender.ts MODE RATE FOLDER. Sends every file of the folder to bob, as the one profile of its home folder:
 * - `plain`, `sealed`: by the library, one call of `send` for each file, over connections that are open already;
 * - `http`: by the bare requests, one `PUT …/whole` for each file with its signed manifest, and one event stream that is open
 *   all the time. No journal, no receipts.
 *
 * Prints one JSON object. Times are those of this process's monotonic clock.
 */
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { connect, FileReceipts, knownSelf, stateFolder } from '../../src/profile/index.ts'
import { newTransferId } from '../../src/protocol/index.ts'
import { send } from '../../src/sender/node.ts'
import { signManifest } from '../../src/trust/index.ts'
import { wholeOf } from '../requests.ts'

/** What one file took. */
export interface LatencySample {
  /** The same to when `stored` was told. */
  readonly storedMs: number
  /** From `started`, which is before the content is read and signed, or from the request, to when `delivered` was told. */
  readonly deliveredMs: number
  /** From the call to its end: by the library, with what is written to disk and asked for before and after. */
  readonly callMs: number
}

const TO = 'bob'
const SECOND_MS = 1000
const ANSWER_TIMEOUT_MS = 60_000

type SendFile = (path: string) => Promise<LatencySample>

const [mode, rateText, folder = ''] = process.argv.slice(2)
const pauseMs = SECOND_MS / Number(rateText)
const stop = new AbortController()
const { signal } = stop
const connection = await connect(undefined)
const { client } = connection
const { account, keys } = await ownIdentity()
const receipts = new FileReceipts(stateFolder())
const sendFile = mode === 'http' ? await byRequests() : byLibrary(mode === 'sealed')

const sending: Promise<LatencySample>[] = []
const startedAtMs = performance.now()
for (const [index, name] of (await readdir(folder)).sort().entries()) {
  await setTimeout(Math.max(0, startedAtMs + index * pauseMs - performance.now()))
  sending.push(sendFile(join(folder, name)))
}
process.stdout.write(`${JSON.stringify(await Promise.all(sending))}\n`)
stop.abort()
await client.close()

async function ownIdentity() {
  const self = await knownSelf(connection, signal)
  if (self.keys === null) throw new Error('the profile has no keys')
  return { account: self.account, keys: self.keys }
}

function byLibrary(isSealing: boolean): SendFile {
  return async (path) => {
    const calledAtMs = performance.now()
    const times = { started: 0, stored: 0, delivered: 0 }
    const [outcome] = await send({
      client,
      identity: { portalUrl: connection.portalUrl, account },
      trust: { keys, contacts: connection.contacts, isSealing, receipts },
      stateFolder: stateFolder(),
      paths: [path],
      to: [TO],
      answerTimeoutMs: ANSWER_TIMEOUT_MS,
      waitMs: null,
      isWaiting: true,
      signal,
      onEvent: (event) => {
        if (event.type === 'started') times.started = performance.now()
        if (event.type !== 'notification') return
        const { notification } = event.notification
        if (notification === 'stored' || notification === 'delivered') times[notification] = performance.now()
      },
    })
    if (outcome?.outcome !== 'delivered') throw new Error(`${path}: ${JSON.stringify(outcome)}`)
    const { started, stored, delivered } = times
    return { storedMs: stored - started, deliveredMs: delivered - started, callMs: performance.now() - calledAtMs }
  }
}

async function byRequests(): Promise<SendFile> {
  const waiting = new Map<string, () => void>()
  const current = Promise.withResolvers<void>()
  const follow = async (): Promise<void> => {
    for await (const event of client.watchEvents({}, { signal })) {
      if (event.type === 'current') current.resolve()
      if (event.type !== 'notification') continue
      const { notification, transferId } = event.notification
      if (notification === 'failed') throw new Error(`${transferId} failed`)
      if (notification === 'delivered') waiting.get(transferId)?.()
    }
  }
  follow().catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  await current.promise
  return async (path) => {
    const calledAtMs = performance.now()
    const content = await readFile(path)
    const transferId = newTransferId()
    const { promise: delivered, resolve } = Promise.withResolvers<void>()
    waiting.set(transferId, resolve)
    const whole = wholeOf([TO], basename(path), content)
    const claims = { ...whole, transferId, from: account, metadata: { name: basename(path) } }
    const manifest = await signManifest(claims, keys)
    const announcedAtMs = performance.now()
    await client.putWhole(transferId, { ...whole, manifest }, content)
    const storedMs = performance.now() - announcedAtMs
    await delivered
    const endedAtMs = performance.now()
    return { storedMs, deliveredMs: endedAtMs - announcedAtMs, callMs: endedAtMs - calledAtMs }
  }
}
