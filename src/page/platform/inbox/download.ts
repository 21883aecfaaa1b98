/** Handing a file to the browser, as a download: streamed from its disk, and never in memory. */

/** The browser has begun to read long before. */
const REVOKE_MS = 60_000

/**
 * Has to be called by what a person does, where a browser asks before several downloads. Whether it arrived, no browser says.
 *
 * @param name what `safeName` gave
 */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(file)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS)
}
