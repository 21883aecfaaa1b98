/**
 * A gate in front of a server: TCP connections pass through it until a test closes it. It acts like a firewall that forgets a
 * connection, a switch without power or a dead host.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

export class Gate implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #serverPort: number
  /** Both ends of each open connection. */
  readonly #pairs = new Set<readonly [client: Socket, server: Socket]>()
  #isOpen = true

  private constructor(server: Server, serverPort: number) {
    this.#server = server
    this.#serverPort = serverPort
    this.port = (server.address() as AddressInfo).port
  }

  /** Opens a gate in front of a port of loopback. */
  static async open(serverPort: number): Promise<Gate> {
    const server = createServer({ allowHalfOpen: true })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const gate = new Gate(server, serverPort)
    server.on('connection', (client) => gate.#pass(client))
    return gate
  }

  /** The address of the server, by way of the gate. */
  through(url: string): string {
    const address = new URL(url)
    address.port = String(this.port)
    return address.href
  }

  /** Drops all further bytes of the open connections without telling either end. New connections pass. */
  forget(): void {
    for (const pair of this.#pairs) {
      for (const socket of pair) socket.unpipe().pause()
    }
  }

  /** Closes all open connections, and closes every new one at once until the test opens the gate again. */
  close(): void {
    this.#isOpen = false
    this.#cut()
  }

  reopen(): void {
    this.#isOpen = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #pass(client: Socket): void {
    if (!this.#isOpen) {
      client.destroy()
      return
    }
    const server = connect({ port: this.#serverPort, host: '127.0.0.1', allowHalfOpen: true })
    const pair = [client, server] as const
    this.#pairs.add(pair)
    for (const socket of pair) {
      socket.setNoDelay(true)
      socket
        .once('error', () => {})
        .once('close', () => {
          for (const one of pair) one.destroy()
          this.#pairs.delete(pair)
        })
    }
    client.pipe(server)
    server.pipe(client)
  }

  #cut(): void {
    for (const [client, server] of this.#pairs) {
      client.destroy()
      server.destroy()
    }
  }
}
