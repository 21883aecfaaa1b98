/**
 * TLS of the portal's own server.
 *
 * A certificate is renewed while transfers run: its files are read at the start, and again when the operator asks.
 * Connections that are open go on under the certificate they began with, new ones get the new one. Files that cannot be
 * used change nothing: at the start the portal does not begin, later the certificate that it has stays.
 */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { Server, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import { hasCode } from '../../hop/node.ts'
import { Problem } from '../../protocol/index.ts'
import type { TlsFiles } from '../options.ts'

/** What a server needs for TLS. Given whole each time: what is left out would fall back to Node's defaults. */
export interface TlsContext {
  readonly cert: Buffer
  readonly key: Buffer
  readonly minVersion: 'TLSv1.2'
  readonly certificate: X509Certificate
}

/**
 * Reads the files and tries them.
 *
 * @throws Problem `certificate-invalid` that names the file and says what is wrong with it
 */
export async function readTls({ certPath, keyPath }: TlsFiles): Promise<TlsContext> {
  const [cert, key] = await Promise.all([readPem(certPath), readPem(keyPath)])
  const certificate = tried(`${certPath} is no certificate in PEM form`, () => new X509Certificate(cert))
  const minVersion = 'TLSv1.2'
  tried(`${keyPath} is no private key in PEM form without a password`, () => createSecureContext({ key }))
  tried(`${certPath} is no chain of certificates in PEM form`, () => createSecureContext({ cert }))
  tried(`${keyPath} is not the key of the first certificate in ${certPath}`, () =>
    createSecureContext({ cert, key, minVersion }),
  )
  return { cert, key, minVersion, certificate }
}

/** Logs which certificate is in use. That it has expired does not keep it from being used, but its clients will. */
export function tellCertificate({ certificate }: TlsContext, log: Logger): void {
  const { serialNumber, subjectAltName = '', validTo, validToDate } = certificate
  const isOver = validToDate.getTime() < Date.now()
  const text = isOver ? 'the certificate in use has expired, clients refuse it' : 'certificate in use'
  log[isOver ? 'warn' : 'info']({ serialNumber, subjectAltName, validTo }, text)
}

/**
 * What reads the files of a running server anew, for connections to come. What is wrong with them is logged, and the
 * old certificate stays.
 */
export function certificateReload(files: TlsFiles, server: TlsServer, log: Logger): () => Promise<void> {
  const reload = async (): Promise<void> => {
    try {
      const renewed = await readTls(files)
      server.setSecureContext(renewed)
      tellCertificate(renewed, log)
    } catch (error) {
      log.error({ err: error }, 'the certificate was not reloaded, the old one stays in use')
    }
  }
  let last = Promise.resolve()
  // One after the other: of two at once, the one that had read earlier could be the last to be used.
  return () => {
    last = last.then(reload)
    return last
  }
}

/** A server over TLS that lets go of a connection in all its ages, the handshake included. */
export class TlsServer extends Server {
  readonly #sockets = new Set<Socket>()

  constructor(options: ServerOptions, listener: RequestListener) {
    super(options, listener)
    this.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    // First of all who hear of it: nothing can be said any more, and Node leaves the socket open.
    this.prependListener('tlsClientError', (_error, socket) => socket.destroy())
  }

  /** Node's own forgets those that have not finished their handshake. */
  override closeAllConnections(): void {
    super.closeAllConnections()
    for (const socket of this.#sockets) socket.destroy()
  }
}

async function readPem(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const why = hasCode(cause, 'ENOENT')
      ? 'is not there'
      : hasCode(cause, 'EACCES', 'EPERM')
        ? 'may not be read by this user'
        : `cannot be read: ${textOf(cause)}`
    throw new Problem('certificate-invalid', { detail: `${path} ${why}` }, { cause })
  }
}

function tried<Result>(otherwise: string, make: () => Result): Result {
  try {
    return make()
  } catch (cause) {
    throw new Problem('certificate-invalid', { detail: `${otherwise}: ${textOf(cause)}` }, { cause })
  }
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
