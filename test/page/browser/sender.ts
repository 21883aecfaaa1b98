/** A sender in a browser: the core with the drivers of the page, without views. */

import { PortalClient } from '../../../src/client/index.ts'
import { pageTransport } from '../../../src/page/platform/bulk-fetcher.ts'
import { PageContacts } from '../../../src/page/platform/contacts.ts'
import { openDatabase } from '../../../src/page/platform/database.ts'
import { BrowserFileSource } from '../../../src/page/platform/file-source.ts'
import { BrowserFolderSource } from '../../../src/page/platform/folder-source.ts'
import { PageJournal } from '../../../src/page/platform/journal.ts'
import { type FolderContent, PickedFolder } from '../../../src/page/platform/picked-folder.ts'
import { PageReceipts } from '../../../src/page/platform/receipts.ts'
import { PageSealRecords } from '../../../src/page/platform/seal-records.ts'
import {
  beginSending,
  EventWatch,
  followOne,
  forget,
  type JournalEntry,
  type KeptReceipt,
  Pause,
  type SendContext,
  type SendEvent,
  type SendOutcome,
  type Source,
  sendOne,
  sendSlots,
} from '../../../src/sender/index.ts'
import { AccountKeys } from '../../../src/trust/index.ts'
import { type Account, type Chosen, type ChosenFolder, fileContent } from '../chosen.ts'

interface Sending {
  readonly pause: Pause
  readonly events: SendEvent[]
  readonly outcome: Promise<SendOutcome>
  readonly stop: AbortController
}

const sendings: Sending[] = []
const silences: string[] = []
let database: Awaited<ReturnType<typeof openDatabase>>
let context: SendContext
let lineOf = sendSlots({ transfersAtOnce: 4, largeAtOnce: 1 })

/**
 * Starts to send to bob in parts of 64 KiB, one at a time.
 *
 * @returns the problem
 */
export async function begin({ name, token, keys, isSealing }: Account): Promise<string | null> {
  const portalUrl = new URL('/', location.href).href
  database = await openDatabase(portalUrl)
  const client = new PortalClient(pageTransport(portalUrl), token)
  const signal = new AbortController().signal
  const events = new EventWatch({
    client,
    answerTimeoutMs: Number.POSITIVE_INFINITY,
    signal,
    onHeldBack: () => {},
    onSilence: (reason) => silences.push(reason),
  })
  events.follow().catch((error) => silences.push(String(error)))
  const trust = {
    keys: await AccountKeys.parse(keys),
    contacts: new PageContacts(database),
    isSealing,
    receipts: new PageReceipts(database),
  }
  try {
    context = await beginSending({
      client,
      identity: { portalUrl, account: name },
      trust,
      journal: new PageJournal(database),
      sealRecords: new PageSealRecords(database),
      events,
      to: ['bob'],
      answerTimeoutMs: 60_000,
      waitMs: null,
      partSizeBytes: 64 * 1024,
      partsInFlight: { min: 1, max: 1 },
      bufferBytesMax: 1024 * 1024,
      signal,
      onEvent: (event) => {
        if (event.type === 'silence') silences.push(event.reason)
      },
    })
    return null
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : String(error)
  }
}

/** @returns the number of the call, valid until a reload */
export function send({ name, sizeBytes, seed, lastModified, toldAs }: Chosen): number {
  return sendFile(new File([fileContent(seed, sizeBytes)], name, { lastModified }), toldAs)
}

/** @returns the number of the call, valid until a reload */
export async function sendFolder({ name, entries }: ChosenFolder): Promise<number> {
  const root: FolderContent = new Map()
  for (const [path, chosen] of Object.entries(entries)) {
    const names = path.split('/')
    const last = names.pop() ?? ''
    const folder = names.reduce((above, one) => folderIn(above, one), root)
    if (chosen === null) folderIn(folder, last)
    else folder.set(last, new File([fileContent(chosen.seed, chosen.sizeBytes)], last, chosen))
  }
  return sendSource(new BrowserFolderSource(await PickedFolder.of(name, root)))
}

function folderIn(above: FolderContent, name: string): FolderContent {
  const known = above.get(name)
  if (known instanceof Map) return known
  const folder: FolderContent = new Map()
  above.set(name, folder)
  return folder
}

function chosenFiles(): File[] {
  return [...(document.querySelector('input')?.files ?? [])]
}

/** Sends the file of the first file input. */
export function sendChosen(): number {
  const [file] = chosenFiles()
  if (file === undefined) throw new Error('nothing was chosen')
  return sendFile(file)
}

/** Sends the files of the first file input as a folder. */
export async function sendChosenAsFolder(name: string): Promise<number> {
  const content = new Map(chosenFiles().map((file) => [file.name, file]))
  return sendSource(new BrowserFolderSource(await PickedFolder.of(name, content)))
}

function sendFile(file: File, toldAs?: string): number {
  return sendSource(new BrowserFileSource(file, toldAs))
}

function sendSource(source: Source): number {
  const pause = new Pause()
  const stop = new AbortController()
  const events: SendEvent[] = []
  const outcome = sendOne(context, source, {
    signal: stop.signal,
    isWaiting: true,
    pause,
    acquireSlot: lineOf(source.sizeBytes),
    onEvent: (event) => events.push(event),
  })
  outcome.catch(() => {})
  return sendings.push({ pause, events, outcome, stop }) - 1
}

/** Shows a file input. */
export function showField(): void {
  const field = document.createElement('input')
  field.type = 'file'
  field.multiple = true
  document.body.append(field)
}

export const outcome = (index: number): Promise<SendOutcome> | undefined => sendings[index]?.outcome
export const events = (index: number): readonly SendEvent[] => sendings[index]?.events ?? []
export const pause = (index: number): void => sendings[index]?.pause.pause()
export const resume = (index: number): void => sendings[index]?.pause.resume()
export const stop = (index: number): void => sendings[index]?.stop.abort(new Error('enough'))
export const heardOfSilence = (): readonly string[] => silences
export function sendOneAtATime(): void {
  lineOf = sendSlots({ transfersAtOnce: 1, largeAtOnce: 1 })
}

export const unfinished = (): Promise<JournalEntry[]> => new PageJournal(database).list()
export const receiptsOf = (transferId: string): Promise<KeptReceipt[]> => new PageReceipts(database).of(transferId)

async function entryOf(transferId: string): Promise<JournalEntry> {
  const entry = (await unfinished()).find((one) => one.transferId === transferId)
  if (entry === undefined) throw new Error('it is not in the journal')
  return entry
}

export async function follow(transferId: string): Promise<SendOutcome | null> {
  const signal = new AbortController().signal
  return followOne(context, await entryOf(transferId), { signal, onEvent: () => {} })
}

export async function forgetOne(transferId: string): Promise<void> {
  await forget(context, await entryOf(transferId))
}

/** Pins keys for bob that he does not have. */
export async function mistrustBob(): Promise<void> {
  const { publicKeys } = await AccountKeys.generate()
  await new PageContacts(await openDatabase(new URL('/', location.href).href)).check('bob', publicKeys)
}
