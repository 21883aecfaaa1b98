/** Worlds whose portal is reached over TLS: its own, or that of nginx before it. */
import { spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { end, freePort, listening, mustRun } from './processes.ts'
import { BenchWorld } from './world.ts'

/** Makes a certificate for the loopback, and lets this process trust it. @param folder for its files */
export class BenchCertificate {
  readonly certPath: string
  readonly keyPath: string

  private constructor(folder: string) {
    this.certPath = join(folder, 'cert.pem')
    this.keyPath = join(folder, 'key.pem')
  }

  static async make(folder: string): Promise<BenchCertificate> {
    const made = new BenchCertificate(folder)
    const subject = ['-subj', '/CN=bench', '-addext', 'subjectAltName=IP:127.0.0.1']
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
    await mustRun('openssl', ['req', '-x509', ...key, '-keyout', made.keyPath, '-out', made.certPath, ...subject])
    // For what this process asks of the portal before it starts others.
    setDefaultCACertificates([...getCACertificates('default'), await readFile(made.certPath, 'utf8')])
    return made
  }
}

/** A portal that does TLS itself. */
export function worldWithTls({ certPath, keyPath }: BenchCertificate): Promise<BenchWorld> {
  const flags = ['--tls-cert', certPath, '--tls-key', keyPath]
  return BenchWorld.start({ flags, env: { NODE_EXTRA_CA_CERTS: certPath } })
}

/** A portal behind nginx, which does TLS. The processor time of nginx is not counted. */
export async function worldBehindProxy(
  folder: string,
  { certPath, keyPath }: BenchCertificate,
): Promise<{ world: BenchWorld } & AsyncDisposable> {
  const [port, portalPort] = [await freePort(), await freePort()]
  const config = `
    daemon off; master_process off; pid ${folder}/proxy.pid; error_log ${folder}/proxy.log; events { worker_connections 256; }
    http {
      access_log off; client_max_body_size 0; client_body_temp_path ${folder}/proxy-body; proxy_temp_path ${folder}/proxy-temp;
      server {
        listen 127.0.0.1:${port} ssl; ssl_certificate ${certPath}; ssl_certificate_key ${keyPath};
        location / {
          proxy_pass http://127.0.0.1:${portalPort}; proxy_http_version 1.1; proxy_set_header Connection "";
          proxy_request_buffering off; proxy_buffering off; proxy_read_timeout 120s; proxy_set_header Host $host:$server_port;
        }
      }
    }`
  await writeFile(join(folder, 'proxy.conf'), config)
  const proxy = spawn('nginx', ['-c', join(folder, 'proxy.conf')], { stdio: 'ignore' })
  await listening(port)
  const flags = ['--listen', `127.0.0.1:${portalPort}`, '--public-url', `https://127.0.0.1:${port}`]
  const trusted = ['--trusted-proxies', '127.0.0.1']
  const world = await BenchWorld.start({ flags: [...flags, ...trusted], env: { NODE_EXTRA_CA_CERTS: certPath } })
  return {
    world,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]()
      await end(proxy)
    },
  }
}
