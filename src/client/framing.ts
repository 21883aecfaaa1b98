/** Request bodies with small files: each content has a line of JSON before it. */

const encoder = new TextEncoder()

/** The line before a content. */
export function lineOf(json: object): Uint8Array {
  return encoder.encode(`${JSON.stringify(json)}\n`)
}

/** Lines and contents of several files, one after another. */
export function batchBody(items: readonly { readonly line: Uint8Array; readonly content: Uint8Array }[]): Uint8Array {
  const body = new Uint8Array(items.reduce((length, { line, content }) => length + line.length + content.length, 0))
  let at = 0
  for (const { line, content } of items) {
    body.set(line, at)
    body.set(content, at + line.length)
    at += line.length + content.length
  }
  return body
}
