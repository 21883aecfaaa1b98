/**
 * The smallest Ceph that serves S3: a monitor process and one process that stores objects in memory, without keys and without a
 * manager. It starts within two seconds and loses all data at its end.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type ProgramName, programPath, requireServer } from './install.ts'
import { serverFolder } from './run.ts'
import { onFreePort, runToEnd, ServerProcess } from './server-process.ts'

const GATEWAY = 'client.rgw'
/** The capacity that the store reports. It takes memory only for what it stores. */
const ROOM_BYTES = 8 * 1024 ** 3

export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export class Ceph {
  readonly #folder: string
  readonly #config: string
  readonly #processes: ServerProcess[] = []

  private constructor(folder: string) {
    this.#folder = folder
    this.#config = join(folder, 'ceph.conf')
  }

  static async start(): Promise<Ceph> {
    await requireServer('radosgw')
    return onFreePort(async (monitorPort) => {
      const ceph = new Ceph(serverFolder('ceph'))
      await ceph.#start(monitorPort)
      return ceph
    })
  }

  /** The folder for the output of its processes. */
  get logFolder(): string {
    return join(this.#folder, 'log')
  }

  /** Creates a user of the gateway. */
  async user({ accessKeyId, secretAccessKey }: AccessKey): Promise<void> {
    const names = ['--uid', accessKeyId, '--display-name', accessKeyId]
    const keys = ['--access-key', accessKeyId, '--secret', secretAccessKey]
    await this.#run('radosgw-admin', '-n', GATEWAY, 'user', 'create', ...names, ...keys)
  }

  /** Starts the gateway that speaks S3 on a port. */
  gateway(port: number, isReady: () => Promise<boolean>): Promise<ServerProcess> {
    const args = ['-n', GATEWAY, '--rgw_frontends', `beast endpoint=127.0.0.1:${port} tcp_nodelay=1`]
    return this.#daemon('radosgw', args, isReady)
  }

  async end(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.end()))
  }

  async #start(monitorPort: number): Promise<void> {
    const folder = this.#folder
    for (const name of ['mon', 'osd', 'run', 'log']) await mkdir(join(folder, name))
    const clusterId = randomUUID()
    await writeFile(join(folder, 'keyring'), '')
    await writeFile(this.#config, configuration(folder, clusterId, monitorPort))
    const map = join(folder, 'monmap')
    const monitorAddress = `[v2:127.0.0.1:${monitorPort}]`
    await runToEnd(programPath('monmaptool'), ['--create', '--addv', 'a', monitorAddress, '--fsid', clusterId, map])
    await this.#run('ceph-mon', '-i', 'a', '--mkfs', '--monmap', map, '--keyring', join(folder, 'keyring'))
    // The test need not wait here, because the next command waits until the monitor answers.
    await this.#daemon('ceph-mon', ['-i', 'a'], async () => true)
    const osdId = randomUUID()
    await this.#run('ceph', 'osd', 'new', osdId)
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osdId)
    await this.#daemon('ceph-osd', ['-i', '0'], async () => true)
  }

  async #daemon(name: ProgramName, args: readonly string[], isReady: () => Promise<boolean>): Promise<ServerProcess> {
    const started = await ServerProcess.start(
      {
        command: programPath(name),
        args: ['-c', this.#config, ...args, '-f'],
        logPath: join(this.logFolder, `${name}.out`),
        endSignal: 'SIGKILL',
      },
      isReady,
    )
    this.#processes.push(started)
    return started
  }

  async #run(name: ProgramName, ...args: string[]): Promise<void> {
    await runToEnd(programPath(name), ['-c', this.#config, ...args])
  }
}

/** https://docs.ceph.com/en/pacific/rados/configuration/ */
function configuration(folder: string, clusterId: string, monitorPort: number): string {
  return `
[global]
fsid = ${clusterId}
mon_host = v2:127.0.0.1:${monitorPort}
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
run_dir = ${folder}/run
admin_socket = ${folder}/run/$name.asok
pid_file = ${folder}/run/$name.pid
log_file = ${folder}/log/$name.log
crash_dir = ${folder}/run
mon_cluster_log_file = ${folder}/log/cluster.log
keyring = ${folder}/keyring

# Without keys, connections are checked for transmission errors, and not encrypted.
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_mon_client_mode = crc

# One copy on one disk, in as few groups as there can be.
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 10000

# The monitor gathers changes for a second before it tells them; at its start there are many, one after another.
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
# It stops when the disk gets full, even that of another program.
mon_data_avail_crit = 1

[mon.a]
mon_data = ${folder}/mon
mon_initial_members = a

[osd.0]
osd_data = ${folder}/osd
osd_objectstore = memstore
memstore_device_bytes = ${ROOM_BYTES}

[${GATEWAY}]
rgw_enable_usage_log = false
rgw_thread_pool_size = 64
rgw_override_bucket_index_max_shards = 1
# A cache would have to be told of changes, and telling waits half a minute for a gateway that was killed.
rgw_cache_enabled = false
`
}
