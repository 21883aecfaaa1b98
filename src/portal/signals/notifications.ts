/**
 * Signals as the text of notifications. PostgreSQL bounds one to less than 8000 bytes, so that many short ones share it and a
 * batch may take several.
 */

export interface Signal {
  readonly topic: string
  readonly payload: string
}

/** Stands for signals that were not told: whatever there is to wait for may have changed. */
export const GAP = 'gap'

/**
 * The bodies of as few notifications as hold all these signals, in their order.
 *
 * @param bodyBytesMax of each; a signal that is longer by itself is left out
 */
export function packSignals(signals: Iterable<Signal>, bodyBytesMax: number): { bodies: string[]; tooLong: Signal[] } {
  const bodies: string[] = []
  const tooLong: Signal[] = []
  let texts: string[] = []
  // The brackets around them.
  let bodyBytes = 2
  const close = (): void => {
    if (texts.length > 0) bodies.push(`[${texts.join(',')}]`)
    texts = []
    bodyBytes = 2
  }
  for (const signal of signals) {
    const text = JSON.stringify([signal.topic, signal.payload]).slice(1, -1)
    // With the comma before it.
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

/** @throws Error when it is no body of this version's */
export function unpackSignals(body: string): Signal[] {
  const words: unknown = JSON.parse(body)
  if (!Array.isArray(words) || words.length % 2 !== 0 || words.some((word) => typeof word !== 'string')) {
    throw new Error('a notification of another kind')
  }
  return Array.from({ length: words.length / 2 }, (_, at) => ({ topic: words[2 * at], payload: words[2 * at + 1] }))
}
