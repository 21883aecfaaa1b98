/**
 * Encodes signals as notifications of PostgreSQL, which are shorter than 8000 bytes. Many short signals share a notification, and a
 * batch may need several.
 */

export interface Signal {
  readonly topic: string
  readonly payload: string
}

/** Stands for signals that were not sent: anything may have changed. */
export const GAP = 'gap'

/**
 * Packs signals, in their order, into as few notifications as possible.
 *
 * @param bodyBytesMax of each notification; a signal that is longer by itself is left out
 */
export function packSignals(signals: Iterable<Signal>, bodyBytesMax: number): { bodies: string[]; tooLong: Signal[] } {
  const bodies: string[] = []
  const tooLong: Signal[] = []
  let texts: string[] = []
  // The bytes of the brackets.
  let bodyBytes = 2
  const close = (): void => {
    if (texts.length > 0) bodies.push(`[${texts.join(',')}]`)
    texts = []
    bodyBytes = 2
  }
  for (const signal of signals) {
    const text = JSON.stringify([signal.topic, signal.payload]).slice(1, -1)
    // The item and the comma before it.
    const textBytes = Buffer.byteLength(text) + 1
    if (2 + textBytes > bodyBytesMax) {
      tooLong.push(signal)
      continue
    }
    if (bodyBytes + textBytes > bodyBytesMax) close()
    texts.push(text)
    bodyBytes += textBytes
  }
  close()
  return { bodies, tooLong }
}

/** @throws Error when the body is not in the format of this version */
export function unpackSignals(body: string): Signal[] {
  const words: unknown = JSON.parse(body)
  if (!Array.isArray(words) || words.length % 2 !== 0 || words.some((word) => typeof word !== 'string')) {
    throw new Error('a notification of another kind')
  }
  return Array.from({ length: words.length / 2 }, (_, at) => ({ topic: words[2 * at], payload: words[2 * at + 1] }))
}
