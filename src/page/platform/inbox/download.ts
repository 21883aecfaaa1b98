/** Starts a download of a file. The browser streams it from disk. */
import { unknownMediaType } from '../../../protocol/index.ts'

/** The browser has started to read well before this time. */
const REVOKE_MS = 60_000

/**
 * Types that a browser shows without running anything of them. Content of another type gets none: were it opened in place of being
 * saved, a script in it would run as this page.
 */
const PASSIVE = /^(?:image\/(?!svg)|audio\/|video\/|text\/(?:plain|csv)$|application\/(?:zip|x-tar|gzip)$)/

/**
 * Call it in an event handler of a user action: some browsers ask before several downloads. Browsers do not report
 * whether the download succeeded.
 *
 * @param name a result of `safeName`
 * @param mediaType type and subtype; null where it is unknown
 */
export function download(file: Blob, name: string, mediaType: string | null = null): void {
  const link = document.createElement('a')
  const type = mediaType !== null && PASSIVE.test(mediaType) ? mediaType : unknownMediaType
  link.href = URL.createObjectURL(file.slice(0, file.size, type))
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_MS)
}
