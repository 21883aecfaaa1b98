/** What others use to get many small files from one machine to another by way of a third. */
import { spawn } from 'node:child_process'
import { access, mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileSet } from './file-set.ts'
import type { Missing } from './peers.ts'
import {
  end,
  freePort,
  isInstalled,
  listening,
  mustRun,
  together,
  type Usage,
  usageOf,
  usedSince,
} from './processes.ts'
import type { BenchWorld } from './world.ts'

/** One way to get many files there. */
export interface SmallContender extends AsyncDisposable {
  readonly name: string
  /** Gets only so much of all files where it is slow; figures are for each file. */
  readonly share: number
  /** Brings all files to a folder. @returns the folder, and what each part in it used */
  deliver(files: FileSet): Promise<{ folder: string; usage: Record<string, Usage> }>
}

/** Without it nginx does not list folders, and rclone does not copy from or to it. */
const DAV_MODULE = '/usr/lib/nginx/modules/ngx_http_dav_ext_module.so'
const TRANSFERS_MANY = 16
/** Its pace is its own, and does not depend on how many there are: see `rclone`. */
const RCLONE_SHARE = 0.2

/** `golooader send` of all files to bob, by one account or by several at once. */
export function ourSmall(
  name: string,
  world: BenchWorld,
  from: readonly string[],
  args: readonly string[],
): SmallContender {
  return {
    name,
    share: 1,
    async deliver({ paths }) {
      const before = await world.usage()
      const sent = await Promise.all(
        from.map((account, index) => {
          const share = paths.filter((_, at) => at % from.length === index)
          return share.length === 0 ? null : world.sendAll(share, args, { from: account, to: ['bob'] })
        }),
      )
      const ended = sent.filter((one) => one !== null)
      for (const { code, output } of ended) if (code !== 0) throw new Error(`send ended with ${code}:\n${output}`)
      const after = await world.usage()
      const usage = {
        sender: together(ended),
        middle: usedSince(before.portal, after.portal),
        receiver: usedSince(before.receiver, after.receiver),
      }
      return { folder: world.inbox('bob'), usage }
    },
    async [Symbol.asyncDispose]() {},
  }
}

/** All peers, those that are missing with the reason. */
export async function smallPeers(folder: string): Promise<(SmallContender | Missing)[]> {
  const names = ['rclone + nginx WebDAV', `rclone --transfers ${TRANSFERS_MANY} + nginx WebDAV`] as const
  if (!(await isInstalled('rclone')) || !(await isInstalled('nginx')) || !(await isThere(DAV_MODULE))) {
    const why = 'not all is installed: apt-get install rclone nginx libnginx-mod-http-dav-ext'
    return names.map((name) => ({ name, why }))
  }
  return [
    await rclone(names[0], join(folder, 'rclone'), []),
    await rclone(names[1], join(folder, 'rclone-many'), [`--transfers=${TRANSFERS_MANY}`]),
  ]
}

/**
 * Asks a WebDAV server for something at most once in ten milliseconds, however many transfers it may have at a time (its pacer,
 * which cannot be set in Debian's version), and several times for each file.
 */
async function rclone(name: string, folder: string, args: readonly string[]): Promise<SmallContender> {
  const port = await freePort()
  const [stored, inbox] = [join(folder, 'stored'), join(folder, 'in')]
  await mkdir(stored, { recursive: true })
  const config = `
    load_module ${DAV_MODULE};
    daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log; events {}
    http {
      access_log off; sendfile on; client_max_body_size 0; client_body_temp_path ${folder}/body;
      server {
        listen 127.0.0.1:${port};
        location / {
          root ${stored}; create_full_put_path on;
          dav_methods PUT DELETE MKCOL COPY MOVE; dav_ext_methods PROPFIND OPTIONS;
        }
      }
    }`
  await writeFile(join(folder, 'nginx.conf'), config)
  await writeFile(join(folder, 'rclone.conf'), `[dav]\ntype = webdav\nurl = http://127.0.0.1:${port}\nvendor = other\n`)
  const server = spawn('nginx', ['-c', join(folder, 'nginx.conf')], { stdio: 'ignore' })
  await listening(port)
  const copy = (from: string, to: string) =>
    mustRun('rclone', ['copy', from, to, `--config=${join(folder, 'rclone.conf')}`, ...args])
  return {
    name,
    share: RCLONE_SHARE,
    async deliver(files) {
      await rm(inbox, { recursive: true, force: true })
      const before = await usageOf(server.pid)
      const sender = await copy(files.folder, 'dav:files')
      const receiver = await copy('dav:files', inbox)
      const middle = usedSince(before, await usageOf(server.pid))
      await rm(join(stored, 'files'), { recursive: true })
      return { folder: inbox, usage: { sender, middle, receiver } }
    },
    [Symbol.asyncDispose]: () => end(server),
  }
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
