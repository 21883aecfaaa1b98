/**
 * One connection to PostgreSQL that listens and notifies, and comes back by itself.
 *
 * It is up only while it hears itself: what it notifies comes back to it as to any other. So nothing else has to be known
 * about why notifications may not arrive: a connection that is dead without having noticed, a pooler that hands each
 * statement to another session, a server that is only a copy.
 */
import { Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client, Notification } from 'pg'
import type { Logger } from 'pino'
import { randomText } from '../../protocol/index.ts'

const CHANNEL = 'golooader_signals'
/** https://www.postgresql.org/docs/current/sql-notify.html: shorter than 8000 bytes. */
const NOTIFICATION_BYTES_MAX = 7_999
const NODE_ID_BYTES = 9
const CONNECT_MS_MAX = 5_000
/** How often it makes sure that it hears itself, unless it just did. */
const CHECK_MS = 2_500
/** So many times in a row without hearing itself, and at the next one it is dead. */
const SILENT_CHECKS_MAX = 3
/** A node that does not read for so long is cut off: what all notify is kept by the database until each has taken it. */
const UNREAD_MS_MAX = 30_000
const RETRY_MS_MIN = 100
const RETRY_MS_MAX = 5_000
const GOODBYE_MS_MAX = 1_000

export interface LinkOptions {
  readonly url: string
  readonly log: Logger
  readonly unreadMsMax?: number
  /** What another node said. */
  readonly onBody: (body: string) => void
}

/** A connection that hears itself. */
interface Session {
  readonly client: Client
  /** Ends it, for that reason. */
  readonly fail: (reason: unknown) => void
}

export class PostgresLink {
  readonly bodyBytesMax: number
  /** Called whenever it has come up: from then on nothing is missed, and what is sent is heard. */
  onUp: () => void = () => {}
  readonly #options: LinkOptions
  readonly #newClient: (socket: Socket) => Client
  /** Begins every notification of this one, and of no other. */
  readonly #prefix = `${randomText(NODE_ID_BYTES)} `
  readonly #stop = new AbortController()
  readonly #running: Promise<void>
  #session: Session | null = null
  #silentChecks = 0
  #onOwn: () => void = () => {}

  private constructor(options: LinkOptions, newClient: (socket: Socket) => Client) {
    this.#options = options
    this.#newClient = newClient
    this.bodyBytesMax = NOTIFICATION_BYTES_MAX - this.#prefix.length
    this.#running = this.#run()
  }

  /** Begins to connect, and does not wait for it: a database that is not there just now is no reason not to start. */
  static async open(options: LinkOptions): Promise<PostgresLink> {
    const { default: pg } = await import('pg')
    return new PostgresLink(
      options,
      (socket) =>
        new pg.Client({
          connectionString: options.url,
          application_name: 'golooader signals',
          connectionTimeoutMillis: CONNECT_MS_MAX,
          keepAlive: true,
          keepAliveInitialDelayMillis: CHECK_MS,
          stream: () => socket,
        }),
    )
  }

  get isUp(): boolean {
    return this.#session !== null
  }

  /**
   * Notifies the other nodes, in one statement.
   *
   * @throws Error when it is not up, or fails; the connection is given up then
   */
  async send(bodies: readonly string[]): Promise<void> {
    const session = this.#session
    if (session === null) throw new Error('there is no connection for signals')
    try {
      await this.#notify(session.client, bodies)
    } catch (error) {
      session.fail(error)
      throw error
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }

  async #run(): Promise<void> {
    const { log } = this.#options
    let failures = 0
    while (!this.#stop.signal.aborted) {
      try {
        await this.#live(() => {
          if (failures > 0) log.info('signals reach other nodes again')
          failures = 0
        })
      } catch (error) {
        if (this.#stop.signal.aborted) return
        failures += 1
        if (failures === 1)
          log.warn({ err: error }, 'signals do not reach other nodes: what they are about comes later')
        const retryMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (failures - 1))
        await pause(retryMs * (0.5 + Math.random() / 2), null, { signal: this.#stop.signal }).catch(() => {})
      }
    }
  }

  /** One connection, from its beginning to its end. @throws Error that ended it */
  async #live(isUp: () => void): Promise<void> {
    const socket = new Socket()
    const client = this.#newClient(socket)
    const { promise: end, reject: fail } = Promise.withResolvers<never>()
    // It may fail at a moment when nobody waits for it.
    end.catch(() => {})
    client.on('error', fail)
    client.on('end', () => fail(new Error('the database has closed the connection')))
    client.on('notification', (notification) => this.#take(notification))
    const stopped = (): void => fail(new Error('stopped'))
    this.#stop.signal.addEventListener('abort', stopped, { once: true })
    let timer: NodeJS.Timeout | null = null
    try {
      await Promise.race([client.connect(), end])
      this.#silentChecks = 0
      timer = setInterval(() => this.#check({ client, fail }), CHECK_MS)
      await Promise.race([this.#listen(client), end])
      this.#session = { client, fail }
      isUp()
      this.onUp()
      await end
    } finally {
      this.#session = null
      if (timer !== null) clearInterval(timer)
      this.#stop.signal.removeEventListener('abort', stopped)
      if (this.#stop.signal.aborted) await Promise.race([client.end().catch(() => {}), pause(GOODBYE_MS_MAX)])
      socket.destroy()
    }
  }

  /** Resolves when it has heard itself. */
  async #listen(client: Client): Promise<void> {
    // A notification waits for no disk: all others would wait with it, for notifications are committed one after another.
    await client.query('set synchronous_commit = off')
    // Where the system of the database knows no such limit, this changes nothing.
    await client.query(`set tcp_user_timeout = ${this.#options.unreadMsMax ?? UNREAD_MS_MAX}`)
    await client.query(`listen ${CHANNEL}`)
    const heard = new Promise<void>((resolve) => {
      this.#onOwn = resolve
    })
    await this.#notify(client, [''])
    await heard
  }

  async #notify(client: Client, bodies: readonly string[]): Promise<void> {
    await client.query({
      name: 'notify',
      text: 'select pg_notify($1, body) from unnest($2::text[]) as bodies (body)',
      values: [CHANNEL, bodies.map((body) => this.#prefix + body)],
    })
  }

  /** Counts checks and not time: a process that was held up has not read yet what had come. */
  #check({ client, fail }: Session): void {
    if (this.#silentChecks === SILENT_CHECKS_MAX) {
      fail(
        new Error('notifications do not come back: the connection is dead, or leads through a pooler of transactions'),
      )
      return
    }
    // Once: the answer to that one has the time of the other checks to come.
    if (this.#silentChecks === 1) this.#notify(client, ['']).catch(fail)
    this.#silentChecks += 1
  }

  #take({ channel, payload = '' }: Notification): void {
    if (channel !== CHANNEL) return
    if (payload.startsWith(this.#prefix)) {
      this.#silentChecks = 0
      this.#onOwn()
      return
    }
    const body = payload.slice(payload.indexOf(' ') + 1)
    if (body !== '') this.#options.onBody(body)
  }
}
