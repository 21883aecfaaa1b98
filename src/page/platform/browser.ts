/**
 * APIs that a browser may lack although the DOM types declare them. For example, WebKitGTK has no `navigator.storage`.
 * All other modules of the page access these APIs through this module.
 */
interface Perhaps {
  readonly storage?: Partial<StorageManager>
  readonly locks?: LockManager
  readonly clipboard?: Partial<Clipboard>
  /** Only Chromium has it. */
  readonly userAgentData?: { readonly brands: readonly { readonly brand: string }[] }
}

const { storage, locks, clipboard, userAgentData }: Perhaps = navigator

/**
 * Whether this browser refuses to read a file that has changed since the user chose it. Only Chromium is known to do
 * so.
 */
export const refusesChangedFiles = userAgentData?.brands.some(({ brand }) => brand === 'Chromium') === true

/** Null where the browser has no Web Locks. */
export const tabLocks: LockManager | null = locks ?? null

/**
 * The root of the origin's own files (OPFS).
 *
 * @throws DOMException `NotSupportedError` where there is none; or the browser's own error
 */
export async function originFolder(): Promise<FileSystemDirectoryHandle> {
  if (storage?.getDirectory === undefined) {
    throw new DOMException('this browser keeps no files for a page', 'NotSupportedError')
  }
  return storage.getDirectory()
}

/** How many bytes the page may still store; infinite where the browser does not say. */
export async function leftBytes(): Promise<number> {
  const { quota, usage } = (await storage?.estimate?.()) ?? {}
  return quota === undefined ? Number.POSITIVE_INFINITY : Math.max(0, quota - (usage ?? 0))
}

/**
 * Asks the browser to keep the stored data when its disk gets full. Some browsers ask their user, so the best time is
 * when the user has just accepted a file. Some browsers never answer.
 *
 * @returns whether the browser keeps the data
 */
export async function askToPersist(): Promise<boolean> {
  return (await storage?.persisted?.()) === true || (await storage?.persist?.()) === true
}

/** @throws DOMException where the browser forbids the page to write to the clipboard, or has none */
export async function copyText(text: string): Promise<void> {
  if (clipboard?.writeText === undefined) throw new DOMException('this browser has no clipboard', 'NotSupportedError')
  await clipboard.writeText(text)
}
