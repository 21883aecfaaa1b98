/** Base64 in a browser. It also runs in Node. */

/** Base64 as text, with padding (RFC 4648 section 4). */
export function encodeBase64(bytes: Uint8Array): string {
  let binary = ''
  for (const byte of bytes) binary += String.fromCharCode(byte)
  return btoa(binary)
}

/** @returns the bytes. Text that is no base64 gives other bytes or none */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = binaryOf(text)
  const bytes = new Uint8Array(binary.length)
  for (let at = 0; at < bytes.length; at++) bytes[at] = binary.charCodeAt(at)
  return bytes
}

function binaryOf(text: string): string {
  try {
    return atob(text)
  } catch {
    // atob throws only on malformed input.
    return ''
  }
}
