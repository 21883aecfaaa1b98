/**
 * Functions that tests run inside the real page. They read what the page stores, or replace the folder dialogue.
 * Playwright sends each function as text, so it can use only its argument and browser APIs.
 */

/** Tries to export each private key that the page stores. Returns the kind of each key and the result. */
export async function exportKeys(): Promise<string[]> {
  const outcomes: string[] = []
  const tryOut = async (key: CryptoKey, format: 'pkcs8' | 'jwk'): Promise<void> => {
    const exporting = format === 'jwk' ? crypto.subtle.exportKey('jwk', key) : crypto.subtle.exportKey('pkcs8', key)
    const outcome = await exporting.then(
      () => 'exported',
      (error: DOMException) => error.name,
    )
    outcomes.push(`${key.algorithm.name} ${format}: ${outcome}`)
  }
  const visit = async (value: unknown): Promise<void> => {
    if (value instanceof CryptoKey) {
      if (value.type !== 'private') return
      await tryOut(value, 'pkcs8')
      await tryOut(value, 'jwk')
    } else if (typeof value === 'object' && value !== null) {
      for (const one of Object.values(value)) await visit(one)
    }
  }
  const done = <Result>(request: IDBRequest<Result>): Promise<Result> =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  for (const { name = '' } of await indexedDB.databases()) {
    const database = await done(indexedDB.open(name))
    for (const store of database.objectStoreNames) {
      await visit(await done(database.transaction(store).objectStore(store).getAll()))
    }
    database.close()
  }
  return outcomes.sort()
}

/** The token of the account. */
export async function token(): Promise<string> {
  const [{ name = '' } = {}] = await indexedDB.databases()
  const done = <Result>(request: IDBRequest<Result>): Promise<Result> =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  const database = await done(indexedDB.open(name))
  const own = await done(database.transaction('identity').objectStore('identity').get('own'))
  database.close()
  return own.token
}

/** Data of the page in other storage of the browser. Tests expect none. */
export function keptElsewhere(): (number | string)[] {
  return [localStorage.length, sessionStorage.length, document.cookie]
}

/** All history entries of the tab at the portal. */
export function addresses(): (string | null)[] {
  return navigation.entries().map(({ url }) => url)
}

/**
 * The OPFS files of the page by name, with the hex SHA-256 of their content. A folder that the user chose is an OPFS
 * folder in tests.
 */
export async function ownFiles(): Promise<Record<string, string>> {
  const files: Record<string, string> = {}
  const visit = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      const path = `${above}${name}`
      if (handle instanceof FileSystemDirectoryHandle) {
        await visit(handle, `${path}/`)
      } else if (handle instanceof FileSystemFileHandle) {
        const digest = await crypto.subtle.digest('SHA-256', await (await handle.getFile()).arrayBuffer())
        files[path] = Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
      }
    }
  }
  await visit(await navigator.storage.getDirectory(), '')
  return files
}

/** A test cannot answer the folder dialogue, so this replaces its result with an OPFS handle. */
export function answerFolderDialogue(name: string): void {
  Object.assign(globalThis, {
    showDirectoryPicker: async () =>
      (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true }),
  })
}

/** The width of the content and of the window. */
export function widths(): { readonly shown: number; readonly room: number } {
  return { shown: document.documentElement.scrollWidth, room: document.documentElement.clientWidth }
}

/** The focused element, and whether the focus is visible. */
export function focused(): { readonly text: string; readonly isSeen: boolean } {
  const element = document.activeElement
  if (!(element instanceof HTMLElement) || element === document.body) return { text: '', isSeen: false }
  const { outlineStyle, outlineWidth } = getComputedStyle(element)
  const { width, height, right, bottom } = element.getBoundingClientRect()
  const isInView = width > 1 && height > 1 && right > 0 && bottom > 0
  return {
    text: element.innerText || element.getAttribute('aria-label') || element.id,
    isSeen: isInView && outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 2,
  }
}

/** The background of each button, in their order. */
export function buttonColours(): string[] {
  return [...document.querySelectorAll('button')].map((button) => getComputedStyle(button).backgroundColor)
}

/** The time when something was first visible, in ms since the start; null before that. */
export function firstPaintMs(): number | null {
  return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null
}

/** The loaded resources: their addresses, and the bytes that came over the network. */
export function loaded(): { readonly urls: string[]; readonly bytes: number } {
  const entries = [
    ...performance.getEntriesByType('navigation'),
    ...performance.getEntriesByType('resource'),
  ] as PerformanceResourceTiming[]
  return {
    urls: entries.map(({ name }) => name),
    bytes: entries.reduce((sum, { transferSize }) => sum + transferSize, 0),
  }
}

/** Whether a script from a hostile name or text ran. */
export function ranMarkup(): boolean {
  return 'ran' in globalThis
}

/** The result of a request that a page makes. */
export function ask({ url, init }: { url: string; init: RequestInit }): Promise<string> {
  return fetch(url, init).then(
    async (answer) => `${answer.type} ${answer.status} ${await answer.text()}`,
    (error: Error) => error.name,
  )
}

/** Whether an address can be shown as an image. */
export function isImage(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const image = new Image()
    image.onload = () => resolve(true)
    image.onerror = () => resolve(false)
    image.src = url
  })
}

export function submitForm(): void {
  document.forms[0]?.submit()
}

/** Simulates a private window of Firefox 153: OPFS exists and rejects. */
export function refuseFiles(): void {
  if (!isSecureContext) return
  StorageManager.prototype.getDirectory = () =>
    Promise.reject(new DOMException('Security error when calling GetDirectory', 'SecurityError'))
}

/** Simulates an old browser: removes built-in functions by their names, such as `Promise.withResolvers`. */
export function lackFunctions(names: readonly string[]): void {
  for (const name of names) {
    const [holder = '', key = ''] = name.split('.')
    Reflect.deleteProperty(Reflect.get(globalThis, holder), key)
  }
}

/** Simulates WebKitGTK 2.50: `navigator.storage` is undefined, and the database returns null for an X25519 key. */
export function beLikeWebKitGtk(): void {
  if (!isSecureContext) return
  Object.defineProperty(Navigator.prototype, 'storage', { value: undefined })
  const holdsOne = (value: unknown): boolean =>
    value instanceof CryptoKey
      ? value.algorithm.name === 'X25519'
      : typeof value === 'object' && value !== null && Object.values(value).some(holdsOne)
  const { put } = IDBObjectStore.prototype
  IDBObjectStore.prototype.put = function (value: unknown, key?: IDBValidKey) {
    return put.call(this, holdsOne(value) ? null : value, key)
  }
}

/** Refuses to make each kind of key a given number of times. */
export function failToMakeKeys(refusalsMax: number): void {
  if (!isSecureContext) return
  const refusals = new Map<string, number>()
  const { generateKey } = SubtleCrypto.prototype
  SubtleCrypto.prototype.generateKey = async function (this: SubtleCrypto, ...args: unknown[]) {
    const { name } = args[0] as { name: string }
    const count = refusals.get(name) ?? 0
    refusals.set(name, count + 1)
    if (count % (refusalsMax + 1) < refusalsMax) throw new DOMException('The operation failed', 'OperationError')
    return Reflect.apply(generateKey, this, args)
  } as typeof generateKey
}

/** All stored data of the page as text. A CryptoKey is shown by its algorithm and whether it can be exported. */
export async function keptDecryptionKey(): Promise<string> {
  const [{ name = '' } = {}] = await indexedDB.databases()
  const done = <Result>(request: IDBRequest<Result>): Promise<Result> =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result)
      request.onerror = () => reject(request.error)
    })
  const database = await done(indexedDB.open(name))
  const { keys } = await done(database.transaction('identity').objectStore('identity').get('own'))
  database.close()
  const key: unknown = keys.decryptionKey
  if (key instanceof CryptoKey) return `${key.algorithm.name}, ${key.extractable}`
  const { wrappingKey } = key as { wrappingKey: CryptoKey }
  return `wrapped by ${wrappingKey.algorithm.name}, ${wrappingKey.extractable}`
}

/** Fills the folder that `answerFolderDialogue` gives: files of that many bytes, which are all 7, and empty folders. */
export async function fillFolder({
  name,
  files,
  folders,
}: {
  name: string
  files: Record<string, number>
  folders: string[]
}): Promise<void> {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true })
  const folderOf = async (names: readonly string[]): Promise<FileSystemDirectoryHandle> => {
    let folder = root
    for (const one of names) folder = await folder.getDirectoryHandle(one, { create: true })
    return folder
  }
  for (const path of folders) await folderOf(path.split('/'))
  for (const [path, sizeBytes] of Object.entries(files)) {
    const names = path.split('/')
    const last = names.pop() ?? ''
    const handle = await (await folderOf(names)).getFileHandle(last, { create: true })
    const writable = await handle.createWritable()
    await writable.write(new Uint8Array(sizeBytes).fill(7))
    await writable.close()
  }
}

/** The names of everything that the page stores: databases, and the files and folders of OPFS. */
export async function traces(): Promise<string[]> {
  const names = (await indexedDB.databases()).map(({ name = '' }) => `database ${name}`)
  const visit = async (folder: FileSystemDirectoryHandle, above: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      names.push(decodeURIComponent(`${above}${name}`))
      if (handle instanceof FileSystemDirectoryHandle) await visit(handle, `${above}${name}/`)
    }
  }
  await visit(await navigator.storage.getDirectory(), '')
  return names.sort()
}

/** Dropped folders tell nothing of what is in them until the test releases them. */
export function holdFolders(): void {
  const held = Promise.withResolvers<void>()
  const { prototype } = DataTransferItem
  const { webkitGetAsEntry } = prototype
  prototype.webkitGetAsEntry = function () {
    const entry = webkitGetAsEntry.apply(this)
    if (entry?.isDirectory !== true) return entry
    const reader = (entry as FileSystemDirectoryEntry).createReader()
    const readEntries: typeof reader.readEntries = (...args) =>
      void held.promise.then(() => reader.readEntries(...args))
    return Object.assign(entry, { createReader: () => ({ readEntries }) })
  }
  Object.assign(globalThis, { releaseHeldFolders: held.resolve })
}

export function releaseFolders(): void {
  ;(globalThis as unknown as { releaseHeldFolders(): void }).releaseHeldFolders()
}
