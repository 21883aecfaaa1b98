/**
 * One connection to PostgreSQL that listens and notifies, and reconnects by itself.
 *
 * It counts as up only while it receives its own notifications. So it need not know why notifications may not arrive: the
 * connection may be dead without notice, a pooler may give each statement another session, or the server may be a replica.
 */
import { Socket } from 'node:net'
import type { Client, Notification } from 'pg'
import type { Logger } from 'pino'
import { backoffMs, sleep, withDeadline } from '../../async/index.ts'
import { randomText } from '../../protocol/index.ts'
import { loadClient } from '../ledger/postgres/client.ts'
import { plainReason } from '../monitoring/log.ts'

const CHANNEL = 'golooader_signals'
/** https://www.postgresql.org/docs/current/sql-notify.html: shorter than 8000 bytes. */
const NOTIFICATION_BYTES_MAX = 7_999
const NODE_ID_BYTES = 9
const CONNECT_MS_MAX = 5_000
/** How often it checks that it receives its own notifications, unless it has just received one. */
const CHECK_MS = 2_500
/** How many checks in a row may remain without an answer. After one more the connection counts as dead. */
const SILENT_CHECKS_MAX = 3
/** The database disconnects a node that does not read for this time, because it keeps all notifications until each node has read them. */
const UNREAD_MS_MAX = 30_000
const BACKOFF = { minMs: 100, maxMs: 5_000 }
const GOODBYE_MS_MAX = 1_000

export interface LinkOptions {
  readonly url: string
  readonly log: Logger
  readonly unreadMsMax?: number
  /** Called with the notification of another node. */
  readonly onBody: (body: string) => void
}

/** A connection that receives its own notifications. */
interface Session {
  readonly client: Client
  /** Ends the session with a reason. */
  readonly fail: (reason: unknown) => void
}

export class PostgresLink {
  readonly bodyBytesMax: number
  /** Called when the link has come up: from then on it misses no notification, and others receive its own. */
  onUp: () => void = () => {}
  readonly #options: LinkOptions
  readonly #newClient: (socket: Socket) => Client
  /** The prefix of this node's notifications, by which it recognises them. */
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

  /** Starts connecting without waiting for it, because a missing database must not keep the portal from starting. */
  static async open(options: LinkOptions): Promise<PostgresLink> {
    const { Client } = await loadClient()
    return new PostgresLink(
      options,
      (socket) =>
        new Client({
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
   * @throws Error when the link is not up or the statement fails; then the connection is closed
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
        if (failures === 1) {
          const reason = plainReason(error)
          log.warn({ reason }, 'signals do not reach other nodes; their receivers notice changes later')
        }
        await sleep(backoffMs(failures, BACKOFF), this.#stop.signal).catch(() => {})
      }
    }
  }

  /** Runs one connection until it ends. @throws the error that ended it */
  async #live(isUp: () => void): Promise<void> {
    const socket = new Socket()
    const client = this.#newClient(socket)
    const { promise: end, reject: fail } = Promise.withResolvers<never>()
    // It may reject while it is not awaited, which must not count as unhandled.
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
      if (this.#stop.signal.aborted) await withDeadline(client.end(), GOODBYE_MS_MAX, () => {}).catch(() => {})
      socket.destroy()
    }
  }

  /** Starts listening. Resolves when the first own notification has arrived. */
  async #listen(client: Client): Promise<void> {
    // Notifications do not wait for the disk. They are committed one after another, so all others would wait, too.
    await client.query('set synchronous_commit = off')
    // Has no effect where the operating system of the database does not support the limit.
    await client.query(`set tcp_user_timeout = ${this.#options.unreadMsMax ?? UNREAD_MS_MAX}`)
    await client.query(`listen ${CHANNEL}`)
    const heard = new Promise<void>((resolve) => {
      this.#onOwn = resolve
    })
    await this.#notify(client, [''])
    await heard
  }

  async #notify(client: Client, bodies: readonly string[]): Promise<void> {
    // An unnamed statement, because some poolers do not support names, and parsing one statement for a batch costs little.
    await client.query({
      text: 'select pg_notify($1, body) from unnest($2::text[]) as bodies (body)',
      values: [CHANNEL, bodies.map((body) => this.#prefix + body)],
    })
  }

  /** Counts checks instead of time, because a process that was blocked has not read yet what has arrived. */
  #check({ client, fail }: Session): void {
    if (this.#silentChecks === SILENT_CHECKS_MAX) {
      fail(new Error('notifications do not come back: the connection is dead, or passes a pooler in transaction mode'))
      return
    }
    // Sent once: its answer may come until the last of the following checks.
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
