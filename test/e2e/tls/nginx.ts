/** Debian's nginx as a reverse proxy with TLS and a path prefix, in the foreground, on a free port of loopback. */
import { spawn } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { programPath, requireServer } from '../../servers/install.ts'
import { freePort, isListening } from '../../servers/server-process.ts'
import { Running, until } from '../harness/world.ts'
import type { CertificateFiles } from './authority.ts'

export interface ProxyOptions {
  readonly portalPort: number
  readonly certificate: CertificateFiles
  /** Configuration lines for the location of the portal: the case under test. */
  readonly lines: readonly string[]
}

/** A running proxy: `PREFIX/…` at its address is the portal. */
export class Nginx implements AsyncDisposable {
  readonly url: string
  readonly #running: Running

  private constructor(url: string, running: Running) {
    this.url = url
    this.#running = running
  }

  /** Starts a proxy, with all its files in a folder of its own. */
  static async start(folder: string, { portalPort, certificate, lines }: ProxyOptions): Promise<Nginx> {
    await requireServer('nginx')
    await mkdir(folder, { recursive: true })
    const port = await freePort()
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    const config = `
daemon off;
master_process off;
pid ${join(folder, 'pid')};
error_log stderr warn;
events {}
http {
  access_log off;
  ${temporary.map((name) => `${name}_temp_path ${join(folder, name)};`).join(' ')}
  upstream portal { server 127.0.0.1:${portalPort}; keepalive 8; }
  server {
    listen 127.0.0.1:${port} ssl;
    ssl_certificate ${certificate.certPath};
    ssl_certificate_key ${certificate.keyPath};
    location /gl/ {
      proxy_pass http://portal/;
      proxy_set_header Connection "";
      ${lines.join('\n      ')}
    }
  }
}
`
    await writeFile(join(folder, 'nginx.conf'), config)
    const args = ['-e', 'stderr', '-p', folder, '-c', join(folder, 'nginx.conf')]
    const running = new Running(spawn(programPath('nginx'), args, { stdio: ['ignore', 'pipe', 'pipe'] }))
    const nginx = new Nginx(`https://127.0.0.1:${port}/gl`, running)
    await until(() => {
      if (running.child.exitCode !== null) throw new Error(`nginx ended: ${running.stderr}`)
      return isListening(port)
    }, 'nginx listens')
    return nginx
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.stop('SIGTERM')
  }
}
