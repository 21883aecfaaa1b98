/**
 * The least that a portal has to do: each part is hashed, stored, synced and renamed, then answered for, and given to who waits for it from
 * memory. No accounts, no ledger, no limits: what GoLooader costs beside this is what it could still save.
 *
 *     node portal.js FOLDER      prints its port; PUT /N brings part N, GET /N takes it, once
 */
import { open, rename } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { Blake3Hasher } from '@napi-rs/blake-hash'

const WRITE_BYTES = 512 * 1024

const [folder = ''] = process.argv.slice(2)
const held = new Map()
const waiting = new Map()

const server = createServer((request, response) => {
  const number = String(request.url).slice(1)
  if (request.method === 'PUT') void take(number, request, response)
  else {
    const part = held.get(number)
    held.delete(number)
    if (part === undefined) waiting.set(number, response)
    else void give(part, response)
  }
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`))

async function take(number, request, response) {
  const path = join(folder, number)
  const handle = await open(`${path}.partial`, 'w')
  const part = await stored(request, handle)
  if (part.digest !== request.headers['content-digest']) throw new Error('what came is not what was sent')
  await handle.datasync()
  await handle.close()
  await rename(`${path}.partial`, `${path}.${part.digest}`)
  response.writeHead(204).end()
  const receiver = waiting.get(number)
  waiting.delete(number)
  if (receiver === undefined) held.set(number, part.buffers)
  else await give(part.buffers, receiver)
}

/** Writes one run while the next one arrives and is hashed. */
async function stored(request, handle) {
  const hasher = new Blake3Hasher()
  const buffers = []
  let writtenCount = 0
  let gatheredBytes = 0
  let writing = Promise.resolve()
  for await (const bytes of request) {
    hasher.update(bytes)
    buffers.push(bytes)
    gatheredBytes += bytes.length
    if (gatheredBytes < WRITE_BYTES) continue
    await writing
    writing = handle.writev(buffers.slice(writtenCount))
    writtenCount = buffers.length
    gatheredBytes = 0
  }
  await writing
  if (writtenCount < buffers.length) await handle.writev(buffers.slice(writtenCount))
  return { digest: hasher.digest('hex'), buffers }
}

async function give(part, response) {
  response.writeHead(200, { 'content-length': part.reduce((sum, { length }) => sum + length, 0) })
  for (const bytes of part) {
    const hasRoom = response.write(bytes, () => bytes.buffer.transfer(0))
    if (!hasRoom) await new Promise((resolve) => response.once('drain', resolve))
  }
  response.end()
}
