/**
 * What tests do inside the real page, beside it: look at what it keeps, or stand in for the person's file system. Each function is
 * sent there as text, so that it can use nothing but its argument and the browser.
 */

/** Tries to get each private key that the page keeps out of the browser: of which kind it is, and what came of it. */
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

/** The token of whoever has joined. */
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

/** What other places of a browser have of the page: nothing is expected there. */
export function keptElsewhere(): (number | string)[] {
  return [localStorage.length, sessionStorage.length, document.cookie]
}

export function clipboardText(): Promise<string> {
  return navigator.clipboard.readText()
}

/**
 * The files in the browser's own folder for the page, by their names, with their content as hex of its SHA-256. A folder that a
 * person chose is such a one in tests.
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

/** The dialogue for folders cannot be answered by a test. What it gives is such a handle as this one. */
export function answerFolderDialogue(name: string): void {
  Object.assign(globalThis, {
    showDirectoryPicker: async () =>
      (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true }),
  })
}

/** How wide what is shown is, beside how wide there is room. */
export function widths(): { readonly shown: number; readonly room: number } {
  return { shown: document.documentElement.scrollWidth, room: document.documentElement.clientWidth }
}

/** What has the focus, and whether one can see that. */
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

/** When something was first to be seen, in ms from the beginning; null before that. */
export function firstPaintMs(): number | null {
  return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null
}

/** Whether something ran that a name or a text of somebody else brought along. */
export function ranMarkup(): boolean {
  return 'ran' in globalThis
}

/** What a page gets that asks for something. */
export function ask({ url, init }: { url: string; init: RequestInit }): Promise<string> {
  return fetch(url, init).then(
    async (answer) => `${answer.type} ${answer.status} ${await answer.text()}`,
    (error: Error) => error.name,
  )
}

/** Whether something can be shown as an image. */
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
