/** Starts a download of a file. The browser streams it from disk. */

/** The browser has started to read well before this time. */
const REVOKE_MS = 60_000

/**
 * Call it in an event handler of a user action: some browsers ask before several downloads. Browsers do not report
 * whether the download succeeded.
 *
 * @param name a result of `safeName`
 */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS)
}
