/**
 * A gate in front of PostgreSQL that understands its messages (https://www.postgresql.org/docs/current/protocol-message-formats.html)
 * and forwards what a test allows. It simulates poolers that lack a single feature.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface Message {
  /** One letter. It is empty for the first message of a client, which has no type. */
  readonly type: string
  readonly body: Buffer
}

/** Returns the message to forward in place of the given one, or null to drop it. A promise delays it, and all that comes after it. */
export type Pass = (message: Message) => Message | null | Promise<Message>

export interface ProtocolGateOptions {
  readonly fromClient?: () => Pass
  readonly fromServer?: () => Pass
}

/** @param options create the {@link Pass} functions for each connection */
export async function protocolGate(databaseUrl: string, options: ProtocolGateOptions) {
  const serverPort = Number(new URL(databaseUrl).port)
  const sockets = new Set<Socket>()
  const passAll = (): Pass => (message) => message
  const { fromClient = passAll, fromServer = passAll } = options
  const server = createServer((client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    for (const [from, to, pass, isFirstBare] of [
      [client, upstream, fromClient(), true],
      [upstream, client, fromServer(), false],
    ] as const) {
      sockets.add(from)
      // The gate writes each message separately. With Nagle's algorithm each would wait for the acknowledgement of the one before.
      from.setNoDelay(true)
      from
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(from)
          to.destroy()
        })
      forward(from, to, pass, isFirstBare)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const url = new URL(databaseUrl)
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function forward(from: Socket, to: Socket, pass: Pass, isFirstBare: boolean): void {
  let held = Buffer.alloc(0)
  let typeBytes = isFirstBare ? 0 : 1
  let delayed: Promise<void> | null = null
  from.on('data', (chunk) => {
    held = Buffer.concat([held, chunk])
    while (held.length >= typeBytes + 4) {
      const end = typeBytes + held.readInt32BE(typeBytes)
      if (held.length < end) return
      const message = pass({ type: held.toString('latin1', 0, typeBytes), body: held.subarray(typeBytes + 4, end) })
      held = held.subarray(end)
      typeBytes = 1
      if (message === null) continue
      if (delayed === null && !(message instanceof Promise)) to.write(encode(message))
      else delayed = Promise.all([message, delayed]).then(([one]) => void to.write(encode(one)))
    }
  })
}

function encode({ type, body }: Message): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(body.length + 4)
  return Buffer.concat([Buffer.from(type, 'latin1'), length, body])
}
