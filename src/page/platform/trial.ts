/**
 * Tests everything that the page needs of a browser before the user joins. An invite works once, so the page must not
 * use it up in a browser where it cannot work. Each test performs the operation as the page does. Checking that a name
 * is defined is insufficient: a private window of Firefox has `getDirectory`, and it rejects.
 */
import { withDeadline } from '../../async/index.ts'
import { newTransferId, transferTimeMs } from '../../protocol/index.ts'
import { type AccountKeys, ContentKey, cryptoDriver, signingKeyBytes } from '../../trust/index.ts'
import { change, openDatabase, type PageDatabase } from './database.ts'
import { type FileKeeping, openStaging } from './inbox/open-staging.ts'
import { storageReasonOf } from './inbox/storage-problem.ts'
import { type KeptKeys, type KeyKeeping, makeKeptKeys, openKeptKeys } from './kept-keys.ts'
import { digestLent } from './part-workers.ts'

/** Which of two ways this browser supports for each need of the page. */
export interface Abilities {
  readonly keyKeeping: KeyKeeping
  readonly fileKeeping: FileKeeping
}

/**
 * This browser lacks an ability that the page requires. The message names it, and `advice` says what to do; both are
 * for users.
 */
export class MissingAbilityError extends Error {
  override readonly name = 'MissingAbilityError'
  readonly advice: string

  constructor(reason: string, advice: string, options?: ErrorOptions) {
    super(reason, options)
    this.advice = advice
  }
}

/** Some browsers never answer a request that they refuse. */
const TRIAL_MS_MAX = 30_000
const TRIAL_BYTES = 1_000
/** The prefix of the record names that a test writes. */
const PREFIX = 'trial '
const OTHER_BROWSER = 'Use a current version of Chrome, Edge, Firefox or Safari.'
const OTHER_WINDOW =
  'Open the page in a window that is not private, and allow this site to store data. If that does not help, use another browser.'

/** Functions of the language that the page calls. The type checker takes them for granted. */
const builtIns: Readonly<Record<string, unknown>> = {
  'Promise.withResolvers': Promise.withResolvers,
  'AbortSignal.any': AbortSignal.any,
}

/** @throws MissingAbilityError in a browser that is too old */
export function requireBuiltIns(): void {
  for (const [name, value] of Object.entries(builtIns)) {
    if (value === undefined) {
      throw new MissingAbilityError(`This browser is too old for this page: it has no ${name}.`, OTHER_BROWSER)
    }
  }
}

/**
 * @param purpose what the page would keep
 * @throws MissingAbilityError where this browser does not let the page store data
 */
export async function openTriedDatabase(portalUrl: string, purpose = 'your account'): Promise<PageDatabase> {
  const reason = `This browser does not let the page store data, so it cannot keep ${purpose}.`
  return tried(reason, OTHER_WINDOW, () => openDatabase(portalUrl))
}

/**
 * Makes keys, stores them, reads them back and uses them; stores a file; computes a digest. Removes all of it
 * afterwards.
 *
 * @throws MissingAbilityError
 */
export async function tryAbilities(database: PageDatabase, portalUrl: string): Promise<Abilities> {
  const [keyKeeping, fileKeeping] = await Promise.all([tryKeys(database), tryFiles(database, portalUrl), tryDigest()])
  return { keyKeeping, fileKeeping }
}

async function tryKeys(database: PageDatabase): Promise<KeyKeeping> {
  const reason = 'This browser cannot create the keys that sign and seal files.'
  const made = await tried(reason, OTHER_BROWSER, () => makeKeptKeys('as-key'))
  if (await within(isUsableOnceKept(database, made)).catch(isFull)) return 'as-key'
  await tried('This browser cannot store the keys that sign and seal files.', OTHER_BROWSER, async () => {
    if (!(await isUsableOnceKept(database, await makeKeptKeys('wrapped')))) throw new Error('a key does not work')
  })
  return 'wrapped'
}

/**
 * Whether keys work after the database has stored them.
 *
 * @throws the browser's own error
 */
async function isUsableOnceKept(database: PageDatabase, made: KeptKeys): Promise<boolean> {
  const name = `${PREFIX}${newTransferId()}`
  const earlier = (await database.getAllKeys('settings')).filter((key) => key.startsWith(PREFIX))
  await change(database, 'settings', async (settings) => {
    await Promise.all(earlier.filter((key) => isLeftover(key.slice(PREFIX.length))).map((key) => settings.delete(key)))
    await settings.put(made, name)
  })
  try {
    const kept = (await database.get('settings', name)) as KeptKeys | null | undefined
    return kept?.decryptionKey != null && kept.signingKey != null && (await doWork(await openKeptKeys(kept)))
  } finally {
    await database.delete('settings', name)
  }
}

async function doWork(keys: AccountKeys): Promise<boolean> {
  const context = { transferId: newTransferId(), from: 'trial', to: 'trial' }
  const sent = await ContentKey.generate(context.transferId)
  const received = await ContentKey.unwrap(await sent.wrap(context, keys.publicKeys), context, keys)
  const signature = await cryptoDriver.sign(keys.signingKey, received.contentSalt)
  return cryptoDriver.verify(signingKeyBytes(keys.publicKeys), signature, sent.contentSalt)
}

/**
 * Chooses OPFS where the browser has it, and the database where it has none. A browser that has OPFS and refuses it is
 * unusable.
 */
async function tryFiles(database: PageDatabase, portalUrl: string): Promise<FileKeeping> {
  // A browser update may add OPFS. The page still uses the database while that holds files.
  using inDatabase = openStaging('database', database, portalUrl, 'inbox')
  if ((await inDatabase.transferIds()).length > 0) return 'database'
  try {
    await within(keepFile('files', database, portalUrl))
    return 'files'
  } catch (cause) {
    if (isFull(cause)) return 'files'
    const reason = storageReasonOf(cause)
    if (reason !== 'NotSupportedError' && reason !== 'TypeError') {
      throw new MissingAbilityError(
        `This browser does not let the page store files (${reason ?? String(cause)}). Private windows, for example, forbid it.`,
        OTHER_WINDOW,
        { cause },
      )
    }
  }
  await tried('This browser does not let the page store files.', OTHER_WINDOW, () =>
    keepFile('database', database, portalUrl),
  )
  return 'database'
}

/** Writes, reads and removes a file as the inbox does. */
async function keepFile(keeping: FileKeeping, database: PageDatabase, portalUrl: string): Promise<void> {
  using staging = openStaging(keeping, database, portalUrl, 'trial')
  for (const earlier of await staging.transferIds()) if (isLeftover(earlier)) await staging.remove(earlier)
  const name = newTransferId()
  const bytes = crypto.getRandomValues(new Uint8Array(TRIAL_BYTES))
  const written = bytes.slice()
  await staging.write(name, 0, bytes)
  try {
    const read = await staging.read(name, 0, TRIAL_BYTES)
    await staging.truncate(name, TRIAL_BYTES)
    await staging.close(name)
    const whole = new Uint8Array(await (await staging.file(name)).arrayBuffer())
    if (read.join() !== written.join() || whole.join() !== written.join()) {
      throw new DOMException('the data that was read differs from the data that was written', 'DataError')
    }
  } finally {
    await staging.remove(name)
  }
}

/** Whether an interrupted test left this record. A newer one may belong to a test in another tab. */
function isLeftover(id: string): boolean {
  return transferTimeMs(id) < Date.now() - TRIAL_MS_MAX
}

async function tryDigest(): Promise<void> {
  const reason = 'This browser does not let the page start workers.'
  await tried(reason, OTHER_BROWSER, () => digestLent('blake3', new Uint8Array(TRIAL_BYTES)))
}

/** @throws MissingAbilityError on failure, with the browser's message in brackets */
async function tried<Result>(reason: string, advice: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await within(act())
  } catch (cause) {
    const said =
      cause instanceof Error || cause instanceof DOMException ? `${cause.name}: ${cause.message}` : String(cause)
    throw new MissingAbilityError(`${reason} (${said})`, advice, { cause })
  }
}

/**
 * With a full disk the test counts as passed, so that a member can open the page and delete files. Joining then fails
 * before it uses the invite.
 */
function isFull(error: unknown): boolean {
  return storageReasonOf(error) === 'QuotaExceededError'
}

function within<Result>(promise: Promise<Result>): Promise<Result> {
  return withDeadline(promise, TRIAL_MS_MAX, () => {
    throw new DOMException(`there was no answer within ${TRIAL_MS_MAX} ms`, 'TimeoutError')
  })
}
