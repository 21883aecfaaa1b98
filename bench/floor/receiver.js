/**
 * The least that a receiver has to do: parts are fetched, two at a time, hashed, written to one file and synced. The sockets are read into
 * two buffers in turn (`onread` of `net.Socket`): one is written while the other is filled.
 *
 *     node receiver.js PORT FILE SIZE_BYTES PART_BYTES
 */
import { open } from 'node:fs/promises'
import { connect } from 'node:net'
import { Blake3Hasher } from '@napi-rs/blake-hash'

const AT_ONCE = 2
const BUFFER_BYTES = 512 * 1024
/** A buffer is written when it is as full as this: what fits in after that would be read in many small runs. */
const FULL_BYTES = 384 * 1024

const [port, path = '', size, partSize] = process.argv.slice(2)
const [sizeBytes, partBytes] = [Number(size), Number(partSize)]
const handle = await open(path, 'w')
let next = 0

class Connection {
  #buffers = [Buffer.allocUnsafeSlow(BUFFER_BYTES), Buffer.allocUnsafeSlow(BUFFER_BYTES)]
  #handle
  #socket
  #which = 0
  #filledBytes = 0
  /** Of the part that comes; null while its head has not come. */
  #leftBytes = null
  #atByte = 0
  #hasher = new Blake3Hasher()
  #writing = Promise.resolve()
  #isWriting = false
  #done = () => {}

  constructor(file) {
    this.#handle = file
    const buffer = () => this.#buffers[this.#which].subarray(this.#filledBytes)
    const onread = { buffer, callback: (byteCount) => this.#arrived(byteCount) }
    this.#socket = connect({ host: '127.0.0.1', port: Number(port), onread })
  }

  async fetch(number) {
    this.#leftBytes = null
    this.#atByte = number * partBytes
    this.#hasher = new Blake3Hasher()
    const { promise, resolve } = Promise.withResolvers()
    this.#done = resolve
    this.#socket.write(`GET /${number} HTTP/1.1\r\nhost: floor\r\n\r\n`)
    await promise
    await this.#writing
    await this.#handle.datasync()
    return this.#hasher.digest('hex')
  }

  end() {
    this.#socket.destroy()
  }

  #arrived(byteCount) {
    let fromByte = this.#filledBytes
    this.#filledBytes += byteCount
    const buffer = this.#buffers[this.#which]
    if (this.#leftBytes === null) {
      const end = buffer.indexOf('\r\n\r\n')
      if (end === -1) return true
      this.#leftBytes = Number(/content-length: (\d+)/i.exec(buffer.toString('latin1', 0, end))?.[1])
      buffer.copyWithin(0, end + 4, this.#filledBytes)
      this.#filledBytes -= end + 4
      fromByte = 0
    }
    this.#hasher.update(buffer.subarray(fromByte, this.#filledBytes))
    this.#leftBytes -= this.#filledBytes - fromByte
    if (this.#filledBytes < FULL_BYTES && this.#leftBytes > 0) return true
    return this.#write(buffer.subarray(0, this.#filledBytes))
  }

  /** @returns false while the other buffer is still written */
  #write(bytes) {
    const mustWait = this.#isWriting
    const atByte = this.#atByte
    this.#atByte += bytes.length
    this.#which = this.#which === 0 ? 1 : 0
    this.#filledBytes = 0
    const before = this.#writing
    this.#isWriting = true
    const mine = before.then(() => this.#handle.write(bytes, 0, bytes.length, atByte))
    this.#writing = mine.then(() => {
      if (this.#atByte === atByte + bytes.length) this.#isWriting = false
    })
    if (this.#leftBytes === 0) this.#done()
    else if (mustWait) before.then(() => this.#socket.resume())
    return !mustWait || this.#leftBytes === 0
  }
}

async function fetchParts() {
  const connection = new Connection(handle)
  for (let number = next++; number * partBytes < sizeBytes; number = next++) await connection.fetch(number)
  connection.end()
}

await Promise.all(Array.from({ length: AT_ONCE }, fetchParts))
await handle.close()
