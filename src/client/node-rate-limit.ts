/**
 * A limit for the bytes that all connections of one client send and receive together, each direction by itself. What is counted is what
 * a connection carries: content, heads of messages, and TLS.
 *
 * The bytes pass in slices that take a fiftieth of a second, and connections take turns. So the flow is even, no connection waits
 * longer than the others, and a slow limit looks nowhere like a connection that has stalled.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { optionsInvalid, timerMs } from '../protocol/index.ts'
import { concurrencyDefaults } from './adaptive-concurrency.ts'
import type { RateBounds } from './transport.ts'

const KIB = 1024
/** With less, the protocol itself would have no room: heads of messages, heartbeats, questions, TLS. */
export const limitBytesPerSecondMin = 8 * KIB
/** There is one connection for content for each such rate: more of them would not be faster. */
const CONNECTION_BYTES_PER_SECOND = 1024 * KIB
/**
 * What the system takes from the line has passed it, whether this process reads it or not. What may come at once is measured in the time
 * that it takes at the limit, and these times together are less than five per cent of ten seconds.
 */
const RANGE_SECONDS = 0.1
const OFFERS_SECONDS = 0.1
const OFFERED_CONTENT_SECONDS = 0.1
/** A shorter range would be mostly heads of messages. */
const RANGE_BYTES_MIN = 2 * KIB
/** An offer without content, of a file with a name of usual length. */
const OFFER_BYTES = KIB
/** Some deliveries wait for a person, or for the rest of a stream. Others must get past them. */
const OFFERS_MIN = 4
/** The content in an offer is base64. */
const CONTENT_SHARE = 3 / 4
/** Portals cut off what is slower than 1 KiB a second. */
const UPLOAD_BYTES_PER_SECOND = 4 * KIB
const UPLOADS_MIN = 2

const SLICES_PER_SECOND = 50
const SLICE_BYTES_MIN = 256
const SLICE_BYTES_MAX = 64 * KIB
/** A timer that fires late, as on a busy machine, makes up for this time. */
const CATCH_UP_MS = 200
/** When nothing was to be passed for longer, there is nothing to make up for. */
const REST_MS = 50
/** A part of a body whose departure is reported. It takes a quarter of a second where one connection sends alone. */
const REPORTS_PER_SECOND = 4

/** Passes bytes when it is the caller's turn. @param bytesMax how many may pass @returns how many did */
type Pass = (bytesMax: number) => number

/** The limit of one direction. */
export class RateLimit {
  readonly #bytesPerMs: number
  readonly #sliceBytes: number
  readonly #waiting: Pass[] = []
  /** When the bytes that have passed are paid for. */
  #paidAtMs = 0
  #isRunning = false
  /** When the last one that waited had passed; Infinity while one waits. */
  #restsSinceMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | null = null
  /** Bytes that have been paid for and have not come. */
  #reservedBytes = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#sliceBytes = Math.round(
      Math.max(SLICE_BYTES_MIN, Math.min(SLICE_BYTES_MAX, bytesPerSecond / SLICES_PER_SECOND)),
    )
  }

  /** Calls `pass` once, when it is its turn. */
  wait(pass: Pass): void {
    this.#waiting.push(pass)
    if (!this.#isRunning) this.#run()
  }

  /**
   * Pays for bytes before the other side is asked for them, since they may come all at once. Resolves when it is the caller's turn to ask.
   */
  reserve(byteCount: number): Promise<void> {
    return new Promise((resolve) => {
      this.wait(() => {
        this.#reservedBytes += byteCount
        resolve()
        return byteCount
      })
    })
  }

  /** How many of the bytes that have come, up to this number, are paid for. They count as come. */
  claim(byteCountMax: number): number {
    const byteCount = Math.min(byteCountMax, this.#reservedBytes)
    this.#reservedBytes -= byteCount
    return byteCount
  }

  /** Takes back the reservation, and the payment, of bytes that will not come. */
  release(byteCount: number): void {
    this.#paidAtMs -= this.claim(Math.max(0, byteCount)) / this.#bytesPerMs
    if (this.#timer === null) return
    clearTimeout(this.#timer)
    this.#run()
  }

  #run(): void {
    this.#isRunning = true
    this.#timer = null
    const nowMs = performance.now()
    const isLate = nowMs - this.#restsSinceMs < REST_MS
    this.#paidAtMs = Math.max(this.#paidAtMs, isLate ? nowMs - CATCH_UP_MS : nowMs)
    this.#restsSinceMs = Number.POSITIVE_INFINITY
    while (this.#paidAtMs <= nowMs) {
      const pass = this.#waiting.shift()
      if (pass === undefined) {
        this.#isRunning = false
        this.#restsSinceMs = nowMs
        return
      }
      // It may take payments back.
      const byteCount = pass(this.#sliceBytes)
      this.#paidAtMs += byteCount / this.#bytesPerMs
    }
    this.#timer = setTimeout(() => this.#run(), timerMs(Math.ceil(this.#paidAtMs - nowMs)))
  }
}

/** The limits of both directions. */
export class RateLimits implements RateBounds {
  readonly sent: RateLimit
  readonly received: RateLimit
  /** How many bytes of a body are given to a connection at a time, so that their departure is a sign of life. */
  readonly reportBytes: number
  readonly connectionsMax: number
  readonly offersMax: number
  readonly contentBytesMax: number
  readonly uploadsMax: number
  /** How much of a part is asked for at a time. */
  readonly rangeBytes: number

  /** @throws Problem `options-invalid` for a limit that is too low */
  constructor(bytesPerSecond: number) {
    if (!(bytesPerSecond >= limitBytesPerSecondMin)) {
      throw optionsInvalid(`the limit of the rate has to be ${limitBytesPerSecondMin} bytes a second or more`)
    }
    const connections = Math.max(1, Math.floor(bytesPerSecond / CONNECTION_BYTES_PER_SECOND))
    this.connectionsMax = Math.min(connections, concurrencyDefaults.max)
    this.rangeBytes = Math.max(RANGE_BYTES_MIN, Math.round((bytesPerSecond * RANGE_SECONDS) / this.connectionsMax))
    this.offersMax = Math.max(OFFERS_MIN, Math.floor((bytesPerSecond * OFFERS_SECONDS) / OFFER_BYTES))
    this.contentBytesMax = Math.floor(bytesPerSecond * OFFERED_CONTENT_SECONDS * CONTENT_SHARE)
    this.uploadsMax = Math.max(UPLOADS_MIN, Math.floor(bytesPerSecond / UPLOAD_BYTES_PER_SECOND))
    this.sent = new RateLimit(bytesPerSecond)
    this.received = new RateLimit(bytesPerSecond)
    this.reportBytes = Math.max(SLICE_BYTES_MIN, Math.round(bytesPerSecond / REPORTS_PER_SECOND))
  }
}

/** A connected socket whose bytes pass within the limits. It has the members of a socket that Node's HTTP client uses. */
export class LimitedSocket extends Duplex {
  readonly #socket: Socket
  readonly #limits: RateLimits
  #isWanted = false
  #isWaiting = false

  constructor(socket: Socket, limits: RateLimits) {
    super({ allowHalfOpen: false })
    this.#socket = socket
    this.#limits = limits
    socket.on('readable', () => this.#receive())
    socket.once('end', () => this.push(null))
    socket.once('error', (error) => this.destroy(error))
    socket.once('close', () => this.destroy())
    socket.on('timeout', () => this.emit('timeout'))
  }

  get connecting(): boolean {
    return false
  }

  get timeout(): number | undefined {
    return this.#socket.timeout
  }

  readonly setTimeout = (ms: number, onTimeout?: () => void): this => {
    this.#socket.setTimeout(timerMs(ms))
    // As in `net.Socket`: without a time the listener is not needed any more.
    if (onTimeout !== undefined) this[ms === 0 ? 'off' : 'once']('timeout', onTimeout)
    return this
  }

  setNoDelay(isOn?: boolean): this {
    this.#socket.setNoDelay(isOn)
    return this
  }

  setKeepAlive(isOn?: boolean, initialDelayMs?: number): this {
    this.#socket.setKeepAlive(isOn, initialDelayMs)
    return this
  }

  ref(): this {
    this.#socket.ref()
    return this
  }

  unref(): this {
    this.#socket.unref()
    return this
  }

  override _read(): void {
    this.#isWanted = true
    this.#receive()
  }

  override _write(bytes: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#send(bytes, done)
  }

  override _writev(all: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#send(Buffer.concat(all.map((one) => one.chunk)), done)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy()
    done(error)
  }

  #receive(): void {
    const { received } = this.#limits
    while (this.#isWanted && !this.#isWaiting && this.#socket.readableLength > 0) {
      const paidBytes = received.claim(this.#socket.readableLength)
      if (paidBytes > 0) {
        this.#pass(paidBytes)
        continue
      }
      this.#isWaiting = true
      received.wait((bytesMax) => {
        this.#isWaiting = false
        if (this.destroyed) return 0
        const byteCount = Math.min(bytesMax, this.#socket.readableLength)
        const owedBytes = byteCount - received.claim(byteCount)
        this.#pass(byteCount)
        this.#receive()
        return owedBytes
      })
    }
  }

  /** @param byteCount at most as many as the socket holds */
  #pass(byteCount: number): void {
    const bytes: Buffer | null = this.#socket.read(byteCount)
    if (bytes !== null) this.#isWanted = this.push(bytes)
  }

  #send(bytes: Buffer, done: (error?: Error | null) => void): void {
    if (bytes.length === 0) {
      done()
      return
    }
    this.#limits.sent.wait((bytesMax) => {
      if (this.destroyed) {
        done()
        return 0
      }
      const slice = bytes.subarray(0, bytesMax)
      this.#socket.write(slice, (error) => {
        if (error !== null && error !== undefined) done(error)
        else this.#send(bytes.subarray(slice.length), done)
      })
      return slice.length
    })
  }
}
