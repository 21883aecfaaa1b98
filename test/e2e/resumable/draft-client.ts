/**
 * A client of the IETF's "Resumable Uploads for HTTP" that does what its document says and nothing more:
 * `TOKEN=… node draft-client.ts PORTAL/v1/to/RECEIVER/NAME FILE`. It tries until the upload has an answer, and prints that. It creates the
 * upload without content, because a proxy on the way may not pass interim answers on.
 */
import { createReadStream, statSync } from 'node:fs'
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout } from 'node:timers/promises'

const PAUSE_MS = 500
const [target = '', path = ''] = process.argv.slice(2)
const sizeBytes = statSync(path).size
const authorization = `Bearer ${process.env.TOKEN}`
/** The address of the upload, once the portal has named it. */
let upload: string | null = null

/** Makes a request with what follows an offset of the file; with null without content. */
function ask(
  method: string,
  url: string,
  headers: OutgoingHttpHeaders,
  offset: number | null,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const length = offset === null ? {} : { 'content-length': sizeBytes - offset }
    const outgoing = request(url, { method, agent: false, headers: { authorization, ...headers, ...length } })
    outgoing.on('response', resolve)
    outgoing.on('error', reject)
    outgoing.on('close', () => reject(new Error('the connection was closed')))
    if (offset === null) outgoing.end()
    else createReadStream(path, { start: offset }).pipe(outgoing)
  })
}

/** One try. @returns the final answer of the upload; null when it has to be tried again */
async function tried(): Promise<IncomingMessage | null> {
  if (upload === null) {
    const { statusCode, headers } = await ask(
      'PUT',
      target,
      { 'upload-complete': '?0', 'upload-length': sizeBytes },
      null,
    )
    if (statusCode === 201) upload = new URL(headers.location ?? '', target).href
    return null
  }
  const { statusCode, headers } = await ask('HEAD', upload, {}, null)
  const offset = Number(headers['upload-offset'])
  if (statusCode !== 204 || !Number.isSafeInteger(offset)) return null
  console.error(`continues at ${offset}`)
  const fields = { 'content-type': 'application/partial-upload', 'upload-offset': offset, 'upload-complete': '?1' }
  return ask('PATCH', upload, fields, offset)
}

/** The final answer, which has to be read to its end. An answer of the balancer itself is none. */
async function answered(): Promise<string | null> {
  const answer = await tried()
  const content = answer === null ? '' : await text(answer)
  return answer === null || (answer.statusCode ?? 500) >= 500 ? null : `${answer.statusCode}\n${content}`
}

let final: string | null = null
while (final === null) {
  final = await answered().catch(() => null)
  if (final === null) await setTimeout(PAUSE_MS)
}
console.log(final)
