/**
 * What a browser keeps while a link is used. Each link has a database and files of its own, apart from those of an account, so that they
 * can be removed as a whole: at the end, or at a later visit of any page of the portal once the link has expired.
 */
import { deleteDB } from 'idb'
import * as Type from 'typebox'
import { digestOf } from '../../digests/index.ts'
import { AccountName, conforms, PublicKeys } from '../../protocol/index.ts'
import { originFolder, tabLocks } from './browser.ts'
import { change, openDatabase, type PageDatabase } from './database.ts'
import { storageReasonOf } from './inbox/storage-problem.ts'

const NOTE_KEY = 'link'
const ID_LENGTH = 32
/** The storage is named like that of a portal below the address of the true one. */
const STORED = /^golooader (.*\/)([gr]\/[0-9a-f]{32})$/
/** `SecurityError` is what private windows say. */
const NO_FILES: ReadonlySet<string> = new Set(['NotFoundError', 'NotSupportedError', 'SecurityError'])
/** A visitor may still want to save a file again, or to fetch a receipt, shortly after the link has expired. */
const GRACE_MS = 86_400_000

/**
 * The address by which the storage of a link is named.
 *
 * @param secret of the link; only its digest is stored
 */
export function storageUrlOf(portalUrl: string, page: 'g' | 'r', secret: string): string {
  const id = digestOf('sha-256', new TextEncoder().encode(secret)).slice(0, ID_LENGTH)
  return `${portalUrl}/${page}/${id}`
}

/** The name of the lock that the tab holds which uses the link. */
export function lockNameOf(storageUrl: string): string {
  return `golooader ${new URL(storageUrl).pathname}`
}

/** The storage of a link that this browser has begun to use at an earlier visit; null where it has not. */
export async function openBegun(
  storageUrl: string,
): Promise<{ readonly database: PageDatabase; readonly note: LinkNote } | null> {
  const name = lockNameOf(storageUrl)
  if (!(await indexedDB.databases()).some((one) => one.name === name)) return null
  const database = await openDatabase(storageUrl)
  const note = await readLinkNote(database)
  if (note !== null) return { database, note }
  database.close()
  return null
}

/** What this browser knows of a link that it uses. */
const LinkNote = Type.Object({
  /** The storage is needed until then, and a little longer. */
  expiresAt: Type.String(),
  owner: Type.Object({ account: AccountName, keys: PublicKeys }),
  /** Which guest of a send link this browser is; null for a request link. */
  index: Type.Union([Type.Integer(), Type.Null()]),
})
export type LinkNote = Type.Static<typeof LinkNote>

/** Durable when it resolves. */
export async function noteLink(database: PageDatabase, note: LinkNote): Promise<void> {
  await change(database, 'settings', (settings) => settings.put(note, NOTE_KEY))
}

/** @returns null where nothing was begun */
export async function readLinkNote(database: PageDatabase): Promise<LinkNote | null> {
  const note: unknown = await database.get('settings', NOTE_KEY)
  return conforms(LinkNote, note) ? note : null
}

/** Removes everything that this browser has of a link. Its database has to be closed. */
export async function removeStorage(storageUrl: string): Promise<void> {
  for (const purpose of ['inbox', 'trial'])
    await removeFiles(`${purpose} ${encodeURIComponent(new URL(storageUrl).pathname)}`)
  await deleteDB(lockNameOf(storageUrl))
}

/** Removes what links have left that have expired, and that no tab uses. */
export async function removeLeftovers(portalUrl: string): Promise<void> {
  const own = `${new URL(portalUrl).pathname.replace(/\/$/, '')}/`
  for (const { name = '' } of await indexedDB.databases()) {
    const [, folder, link] = STORED.exec(name) ?? []
    if (folder !== own || link === undefined) continue
    await tabLocks?.request(name, { ifAvailable: true }, async (lock) => {
      const storageUrl = new URL(`${folder}${link}`, portalUrl).href
      if (lock !== null && (await isOver(storageUrl))) await removeStorage(storageUrl)
    })
  }
}

/** A database without a note was left by a crash before anything was in it. */
async function isOver(storageUrl: string): Promise<boolean> {
  const database = await openDatabase(storageUrl)
  const note = await readLinkNote(database)
  database.close()
  return note === null || Date.parse(note.expiresAt) + GRACE_MS < Date.now()
}

async function removeFiles(folder: string): Promise<void> {
  try {
    await (await originFolder()).removeEntry(folder, { recursive: true })
  } catch (error) {
    // There are none, or the browser keeps none for this page.
    const isNone = NO_FILES.has(storageReasonOf(error) ?? '') || error instanceof TypeError
    if (!isNone) throw error
  }
}
