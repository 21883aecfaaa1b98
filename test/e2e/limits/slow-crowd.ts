/**
 * A crowd of clients that hold their connections for as long as the portal lets them. It is a process of its own, so
 * that its memory does not count as memory of the test. It prints the number of open connections once all are open, and
 * ends when its standard input ends.
 *
 *     node slow-crowd.ts PORT COUNT TOKEN_OF_SENDER TOKEN_OF_RECEIVER TRANSFER_TO_SEND OFFERED_TRANSFER LEASE
 */
import { connect, type Socket } from 'node:net'

const [port, count, sender, receiver, toSend, offered, lease] = process.argv.slice(2)
const DRIP_MS = 1_000

function head(method: string, path: string, token: string | undefined, more: readonly string[] = []): string {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', `Authorization: Bearer ${token}`, ...more]
  return lines.map((line) => `${line}\r\n`).join('')
}

const digest = `Content-Digest: sha-256=:${Buffer.alloc(32).toString('base64')}:`
/** What each kind sends at once, and what it then sends slowly. */
const kinds: readonly { readonly first: string; readonly drip: string }[] = [
  // Headers that never end.
  { first: head('GET', '/v1/account', sender), drip: 'X' },
  // JSON that never ends.
  {
    first: `${head('POST', '/v1/join', sender, ['Content-Type: application/json', 'Content-Length: 4000'])}\r\n`,
    drip: ' ',
  },
  // A part, byte by byte.
  {
    first: `${head('PUT', `/v1/transfers/${toSend}/parts/1`, sender, ['Content-Length: 8388608', digest])}\r\n`,
    drip: 'x',
  },
  // A download that the client does not read.
  { first: `${head('GET', `/v1/inbox/${offered}/parts/1?lease=${lease}`, receiver)}\r\n`, drip: '' },
  // Nothing is sent.
  { first: '', drip: '' },
]

const sockets = await Promise.all(
  Array.from({ length: Number(count) }, async (_, index) => {
    const kind = kinds[index % kinds.length] ?? { first: '', drip: '' }
    const socket: Socket = connect(Number(port), '127.0.0.1')
    socket.on('error', () => {})
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.pause()
    socket.write(kind.first)
    const timer = setInterval(() => {
      if (kind.drip !== '' && socket.writable) socket.write(kind.drip)
    }, DRIP_MS)
    socket.once('close', () => clearInterval(timer))
    return socket
  }),
)
process.stdout.write(`${sockets.length} are open\n`)
process.stdin.resume().once('end', () => process.exit(0))
