/**
 * OpenStack Swift with its S3 interface (s3api): a proxy, a server each for accounts, containers and objects, and
 * memcached.
 * All tests of a run share one. Objects are files in the folder of the run, whose file system needs extended
 * attributes.
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { type ProgramName, programPath, requireServer } from './install.ts'
import { makeBucket, type TestBucket } from './radosgw.ts'
import { oncePerRun, serverFolder } from './run.ts'
import { freePort, isListening, runToEnd, ServerProcess } from './server-process.ts'

const kinds = ['account', 'container', 'object'] as const
const USER = 'tester'
/** One device, one copy: 2^4 partitions. */
const RING = ['4', '1', '1']

/** Creates a bucket in the Swift of this run. The first call starts it. */
export async function swiftBucket(): Promise<TestBucket> {
  return makeBucket(await oncePerRun('swift', startSwift))
}

async function startSwift() {
  await requireServer('swift')
  const folder = serverFolder('swift')
  mkdirSync(join(folder, 'devices', 'd1'), { recursive: true })
  const secret = randomBytes(16).toString('hex')
  const start = async (command: ProgramName, args: readonly string[], port: number): Promise<void> => {
    const logPath = join(folder, `${command}.log`)
    await ServerProcess.start({ command: programPath(command), args, logPath, endSignal: 'SIGKILL' }, () =>
      isListening(port),
    )
  }
  const cachePort = await freePort()
  const user = process.getuid?.() === 0 ? ['-u', userInfo().username] : []
  await start('memcached', ['-l', '127.0.0.1', '-p', String(cachePort), ...user], cachePort)
  for (const kind of kinds) {
    const port = await freePort()
    const ring = join(folder, `${kind}.builder`)
    for (const args of [['create', ...RING], ['add', `r1z1-127.0.0.1:${port}/d1`, '1'], ['rebalance']]) {
      await runToEnd(programPath('swift-ring-builder'), [ring, ...args])
    }
    const path = join(folder, `${kind}.conf`)
    writeFileSync(path, serverConfig(kind, folder, port))
    await start(`swift-${kind}-server`, [path], port)
  }
  const port = await freePort()
  const path = join(folder, 'proxy.conf')
  writeFileSync(path, proxyConfig({ folder, port, cachePort, secret }))
  await start('swift-proxy-server', [path], port)
  return { endpoint: `http://127.0.0.1:${port}`, key: { accessKeyId: `test:${USER}`, secretAccessKey: secret } }
}

function common(folder: string, port: number): string {
  return `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
swift_dir = ${folder}
user = ${userInfo().username}
`
}

function serverConfig(kind: (typeof kinds)[number], folder: string, port: number): string {
  return `${common(folder, port)}devices = ${join(folder, 'devices')}
mount_check = false
recon_cache_path = ${folder}
[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
`
}

interface ProxySettings {
  readonly folder: string
  readonly port: number
  readonly cachePort: number
  readonly secret: string
}

function proxyConfig({ folder, port, cachePort, secret }: ProxySettings): string {
  return `${common(folder, port)}[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${cachePort}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_${USER} = ${secret} .admin
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
`
}
