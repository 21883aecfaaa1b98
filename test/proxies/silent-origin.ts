/** A server that answers late, and pauses in the middle of an answer. A proxy must wait through that silence. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'

export interface SilentOrigin extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  readonly host: string
}

/** `/late` answers after the silence. Any other path answers at once and continues after the silence. */
export async function silentOrigin(silenceMs: number): Promise<SilentOrigin> {
  const server = createServer(async (request, answer) => {
    answer.on('error', () => {})
    const isLate = request.url === '/late'
    answer.setHeader('Content-Type', 'text/event-stream')
    if (!isLate) answer.write('first\n')
    await setTimeout(silenceMs, null, { ref: false })
    answer.end('last\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
