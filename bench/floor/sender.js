/**
 * The least that a sender has to do: parts are read, hashed and sent, two at a time, each in one piece.
 *
 *     node sender.js PORT FILE PART_BYTES
 */
import { open } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { Blake3Hasher } from '@napi-rs/blake-hash'

const AT_ONCE = 2
const READ_BYTES = 1024 * 1024

const [port, path = '', size] = process.argv.slice(2)
const partBytes = Number(size)
const handle = await open(path)
const { size: sizeBytes } = await handle.stat()
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
let next = 0

async function sendParts() {
  const buffer = Buffer.allocUnsafeSlow(partBytes)
  for (let number = next++; number * partBytes < sizeBytes; number = next++) {
    const hasher = new Blake3Hasher()
    const part = buffer.subarray(0, Math.min(partBytes, sizeBytes - number * partBytes))
    for (let at = 0; at < part.length; ) {
      const wanted = Math.min(READ_BYTES, part.length - at)
      const { bytesRead } = await handle.read(part, at, wanted, number * partBytes + at)
      hasher.update(part.subarray(at, at + bytesRead))
      at += bytesRead
    }
    await put(number, part, hasher.digest('hex'))
  }
}

function put(number, part, digest) {
  const headers = { 'content-length': part.length, 'content-digest': digest }
  return new Promise((resolve, reject) => {
    const sending = request(
      { host: '127.0.0.1', port, method: 'PUT', path: `/${number}`, agent, headers },
      (answer) => {
        answer.resume().once('end', resolve)
      },
    )
    sending.on('error', reject).end(part)
  })
}

await Promise.all(Array.from({ length: AT_ONCE }, sendParts))
agent.destroy()
await handle.close()
