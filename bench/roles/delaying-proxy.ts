/**
 * A long path between a port and a server on this machine: bytes arrive late, at a bounded rate, both ways. Each connection has
 * only so much on its way, as TCP does it: a little at first, twice as much after each round trip, up to what Linux has
 * buffers for. So one connection does not fill the path, and a new one is slow.
 *
 *     node delaying-proxy.ts SERVER_PORT DELAY_MS BYTES_PER_SECOND      prints the port that it listens on
 */
import { createServer, connect as open, type Socket } from 'node:net'

/** Ten segments (RFC 6928). */
const WINDOW_BYTES_FIRST = 14_480
/** Half of the 6 MiB that a receiving socket of Linux may take, as `tcp_rmem` has it by default. */
const WINDOW_BYTES_MAX = 3 * 1024 * 1024
const SECOND_MS = 1000

const [serverPort, delayMs = 0, bytesPerSecond = 0] = process.argv.slice(2).map(Number)
if (serverPort === undefined) throw new Error('which server?')

/** One direction of the path: what is sent comes out in the same order, late. */
class Line {
  readonly #arrivals: { readonly atMs: number; readonly arrive: () => void }[] = []
  #isFreeAtMs = 0
  #timer: NodeJS.Timeout | null = null

  send(byteCount: number, arrive: () => void): void {
    this.#isFreeAtMs = Math.max(performance.now(), this.#isFreeAtMs) + (byteCount * SECOND_MS) / bytesPerSecond
    this.#arrivals.push({ atMs: this.#isFreeAtMs + delayMs, arrive })
    this.#timer ??= setTimeout(this.#deliver, delayMs)
  }

  readonly #deliver = (): void => {
    let next = this.#arrivals[0]
    for (; next !== undefined && next.atMs <= performance.now(); next = this.#arrivals[0]) {
      this.#arrivals.shift()
      next.arrive()
    }
    this.#timer = next === undefined ? null : setTimeout(this.#deliver, Math.max(0, next.atMs - performance.now()))
  }
}

/** Passes on what comes from one socket, over a line, with no more on its way than the window has room for. */
function pass(from: Socket, to: Socket, line: Line): void {
  let windowBytes = WINDOW_BYTES_FIRST
  let onTheirWayBytes = 0
  const acknowledged = (byteCount: number): void => {
    onTheirWayBytes -= byteCount
    windowBytes = Math.min(WINDOW_BYTES_MAX, windowBytes + byteCount)
    if (onTheirWayBytes < windowBytes) from.resume()
  }
  from.on('data', (bytes) => {
    onTheirWayBytes += bytes.length
    if (onTheirWayBytes >= windowBytes) from.pause()
    line.send(bytes.length, () => {
      if (to.writable) to.write(bytes, () => setTimeout(acknowledged, delayMs, bytes.length))
    })
  })
  from.on('end', () => line.send(0, () => to.end()))
  from.on('error', () => {})
  from.on('close', () => line.send(0, () => to.destroy()))
}

const there = new Line()
const back = new Line()
const proxy = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = open({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  pass(near, far, there)
  pass(far, near, back)
})
proxy.listen(0, '127.0.0.1', () => {
  const address = proxy.address()
  process.stdout.write(`listening on ${typeof address === 'object' ? address?.port : address}\n`)
})
