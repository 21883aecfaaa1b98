/** A certificate authority for tests, made with the `openssl` command, and queries for a server's certificate. */
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { promisify } from 'node:util'

const run = promisify(execFile)
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

/** Paths of a certificate and its key. */
export interface CertificateFiles {
  readonly certPath: string
  readonly keyPath: string
}

export class Authority {
  readonly caPath: string
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
    this.caPath = join(folder, 'ca.pem')
  }

  /** Makes one, in a folder that is made for it. */
  static async create(folder: string): Promise<Authority> {
    await mkdir(folder, { recursive: true })
    const authority = new Authority(folder)
    await authority.#openssl('req', '-x509', ...KEY, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=test CA')
    return authority
  }

  /** Creates a certificate for 127.0.0.1 and localhost. @param days negative for one that has expired */
  async certify(name: string, serial: number, { days = 30, names = 'IP:127.0.0.1,DNS:localhost' } = {}) {
    const [cert, key, request, extension] = [`${name}.pem`, `${name}.key`, `${name}.csr`, `${name}.ext`]
    await writeFile(join(this.#folder, extension), `subjectAltName=${names}\n`)
    await this.#openssl('req', '-new', ...KEY, '-keyout', key, '-out', request, '-subj', '/CN=test')
    const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-set_serial', String(serial), '-days', String(days)]
    await this.#openssl('x509', '-req', '-in', request, ...signing, '-extfile', extension, '-out', cert)
    return this.#files(name)
  }

  /** Creates a self-signed certificate. */
  async selfSigned(name: string): Promise<CertificateFiles> {
    const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1']
    await this.#openssl('req', '-x509', ...KEY, '-keyout', `${name}.key`, '-out', `${name}.pem`, ...subject)
    return this.#files(name)
  }

  #files(name: string): CertificateFiles {
    return { certPath: join(this.#folder, `${name}.pem`), keyPath: join(this.#folder, `${name}.key`) }
  }

  async #openssl(...args: string[]): Promise<void> {
    await run('openssl', args, { cwd: this.#folder })
  }
}

/** Replaces one certificate by another, as renewal tools do. */
export async function replaceCertificate(place: CertificateFiles, by: CertificateFiles): Promise<void> {
  await writeFile(place.certPath, await readFile(by.certPath))
  await writeFile(place.keyPath, await readFile(by.keyPath))
}

/** The serial number of the certificate that a server shows to a new connection. The issuer is not checked. */
export async function servedSerial(url: string): Promise<number> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false })
  try {
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
    return Number.parseInt(socket.getPeerCertificate().serialNumber, 16)
  } finally {
    socket.destroy()
  }
}
