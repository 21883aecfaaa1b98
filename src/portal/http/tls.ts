/**
 * TLS of the portal's own server.
 *
 * A certificate is renewed while transfers run. Its files are read at the start, and again when the operator asks. Open
 * connections keep the certificate that they began with; new connections get the new one. With unusable files the portal does
 * not start; later it keeps the certificate that it has.
 */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { RequestListener } from 'node:http'
import { Server, type ServerOptions } from 'node:https'
import type { Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import type { Logger } from 'pino'
import { hasCode } from '../../fs/index.ts'
import { Problem } from '../../protocol/index.ts'
import type { TlsFiles } from '../options.ts'

/** The TLS settings of a server. All are given each time, because omitted ones would fall back to Node's defaults. */
export interface TlsContext {
  readonly cert: Buffer
  readonly key: Buffer
  readonly minVersion: 'TLSv1.2'
  readonly certificate: X509Certificate
}

/**
 * Reads the files and tries whether TLS can use them.
 *
 * @throws Problem `certificate-invalid`, which names the file and says what is wrong with it
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

/** Logs which certificate is in use. An expired one is used, too, but clients will refuse it. */
export function tellCertificate({ certificate }: TlsContext, log: Logger): void {
  const { serialNumber, subjectAltName = '', validTo, validToDate } = certificate
  const isOver = validToDate.getTime() < Date.now()
  const text = isOver ? 'the certificate in use has expired, clients refuse it' : 'certificate in use'
  log[isOver ? 'warn' : 'info']({ serialNumber, subjectAltName, validTo }, text)
}

/**
 * Makes the function that reads the files of a running server again, for new connections. Errors are logged, and the old
 * certificate stays.
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
  // One reload at a time: with two at once, the older files could be the last ones applied.
  return () => {
    last = last.then(reload)
    return last
  }
}

/** A TLS server that can close connections even during their handshake. */
export class TlsServer extends Server {
  readonly #sockets = new Set<Socket>()

  constructor(options: ServerOptions, listener: RequestListener) {
    super(options, listener)
    this.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    // Runs before other listeners: no answer is possible after a failed handshake, and Node would leave the socket open.
    this.prependListener('tlsClientError', (_error, socket) => socket.destroy())
  }

  /** Node's own method does not close connections that are still in their handshake. */
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
