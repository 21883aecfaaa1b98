/**
 * Tests use servers and browsers from Debian. Only `npm run test:setup` installs them (`setup.ts`). A test fails with a clear
 * message when its server is missing. No test is skipped silently.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { delimiter, isAbsolute, join } from 'node:path'
import { hasCode } from '../../src/fs/index.ts'

/** What a test can require: the packages, and the programs that tests run from these packages or their dependencies. */
const servers = {
  postgresql: { packages: ['postgresql'], programs: ['postgres', 'initdb', 'psql', 'pg_isready'] },
  radosgw: {
    packages: ['ceph-mon', 'ceph-osd', 'radosgw'],
    programs: ['ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'ceph', 'monmaptool'],
  },
  pgbouncer: { packages: ['pgbouncer'], programs: ['pgbouncer'] },
  pgpool: { packages: ['pgpool2'], programs: ['pgpool'] },
  swift: {
    packages: ['swift-proxy', 'swift-object', 'swift-container', 'swift-account', 'memcached'],
    programs: [
      'swift-proxy-server',
      'swift-object-server',
      'swift-container-server',
      'swift-account-server',
      'swift-ring-builder',
      'memcached',
    ],
  },
  haproxy: { packages: ['haproxy'], programs: ['haproxy'] },
  nginx: { packages: ['nginx-light'], programs: ['nginx'] },
  caddy: { packages: ['caddy'], programs: ['caddy'] },
  apache: { packages: ['apache2'], programs: ['apache2'] },
  lighttpd: {
    packages: ['lighttpd', 'lighttpd-mod-openssl'],
    programs: ['lighttpd', '/usr/lib/lighttpd/mod_openssl.so'],
  },
  varnish: { packages: ['varnish'], programs: ['varnishd'] },
  squid: { packages: ['squid'], programs: ['squid', '/usr/lib/squid/basic_ncsa_auth'] },
  h2o: { packages: ['h2o'], programs: ['h2o'] },
  'ca-certificates': { packages: ['ca-certificates'], programs: ['update-ca-certificates'] },
  nghttpx: { packages: ['nghttp2-proxy'], programs: ['nghttpx'] },
  tinyproxy: { packages: ['tinyproxy-bin'], programs: ['tinyproxy'] },
  rsync: { packages: ['rsync'], programs: ['rsync'] },
  socat: { packages: ['socat'], programs: ['socat'] },
  stunnel: { packages: ['stunnel4'], programs: ['stunnel4'] },
  hitch: { packages: ['hitch'], programs: ['hitch'] },
  httpie: { packages: ['httpie'], programs: ['http'] },
  wget2: { packages: ['wget2'], programs: ['wget2'] },
  busybox: { packages: ['busybox'], programs: ['busybox'] },
  // Programs that read and write tars, as BusyBox and Python do.
  tar: { packages: ['tar'], programs: ['tar'] },
  bsdtar: { packages: ['libarchive-tools'], programs: ['bsdtar'] },
  '7zip': { packages: ['7zip'], programs: ['7zz'] },
  // Tests use its standard library as a client in another language.
  python: { packages: ['python3'], programs: ['python3'] },
  // A client of tus.
  tuspy: { packages: ['python3-tuspy'], programs: ['/usr/lib/python3/dist-packages/tusclient/client.py'] },
  // Without an installed font the browser neither shows nor measures text.
  chromium: { packages: ['chromium', 'fonts-dejavu-core'], programs: ['chromium'] },
  // The driver starts MiniBrowser, which the library installs outside of PATH.
  webkit: { packages: ['webkit2gtk-driver', 'xvfb', 'fonts-dejavu-core'], programs: ['WebKitWebDriver', 'Xvfb'] },
  firefox: { packages: ['firefox-esr', 'fonts-dejavu-core'], programs: ['firefox-esr'] },
  // File systems for test/mounts. Those in user space need fusermount3.
  'mkfs.btrfs': { packages: ['btrfs-progs'], programs: ['mkfs.btrfs'] },
  'mkfs.xfs': { packages: ['xfsprogs'], programs: ['mkfs.xfs'] },
  sshfs: { packages: ['sshfs', 'fuse3'], programs: ['sshfs'] },
  'sftp-server': { packages: ['openssh-sftp-server'], programs: ['sftp-server'] },
  mergerfs: { packages: ['mergerfs', 'fuse3'], programs: ['mergerfs'] },
  gocryptfs: { packages: ['gocryptfs', 'fuse3'], programs: ['gocryptfs'] },
  encfs: { packages: ['encfs', 'fuse3'], programs: ['encfs'] },
  'ntfs-3g': { packages: ['ntfs-3g', 'fuse3'], programs: ['ntfs-3g'] },
  mkntfs: { packages: ['ntfs-3g'], programs: ['mkntfs'] },
  bindfs: { packages: ['bindfs', 'fuse3'], programs: ['bindfs'] },
  rclone: { packages: ['rclone', 'fuse3'], programs: ['rclone'] },
  'mkfs.exfat': { packages: ['exfatprogs'], programs: ['mkfs.exfat'] },
  'exfat-fuse': { packages: ['exfat-fuse', 'fuse3'], programs: ['mount.exfat-fuse'] },
  'fuse-overlayfs': { packages: ['fuse-overlayfs', 'fuse3'], programs: ['fuse-overlayfs'] },
  cryfs: { packages: ['cryfs', 'fuse3'], programs: ['cryfs'] },
  securefs: { packages: ['securefs', 'fuse3'], programs: ['securefs'] },
  'unionfs-fuse': { packages: ['unionfs-fuse', 'fuse3'], programs: ['unionfs-fuse'] },
  squashfs: { packages: ['squashfs-tools'], programs: ['mksquashfs'] },
  davfs: { packages: ['davfs2'], programs: ['mount.davfs'] },
  // Shows the calls of a process.
  strace: { packages: ['strace'], programs: ['strace'] },
  // A user's manager and its journal, in a name space.
  systemd: {
    packages: ['systemd'],
    programs: [
      '/lib/systemd/systemd',
      '/lib/systemd/systemd-journald',
      'systemctl',
      'systemd-notify',
      'systemd-analyze',
      'journalctl',
    ],
  },
  // Shells for the tests of completion.
  fish: { packages: ['fish'], programs: ['fish'] },
  zsh: { packages: ['zsh'], programs: ['zsh'] },
} as const

type ServerName = keyof typeof servers
export type ProgramName = (typeof servers)[ServerName]['programs'][number]

/** Debian installs sftp-server outside of PATH. */
const SFTP_SERVER_FOLDER = '/usr/lib/openssh'
const POSTGRESQL_FOLDER = '/usr/lib/postgresql'
/**
 * Checks that the programs of a server are installed.
 *
 * @throws Error that names the missing programs and the command that installs them
 */
export async function requireServer(name: ServerName): Promise<void> {
  const missing = missingPrograms(name)
  if (missing.length === 0) return
  throw new Error(`this test needs ${name}, and ${missing.join(', ')} is missing here: npm run test:setup`)
}

/** The packages that tests need and this machine lacks. */
export function missingServers(): { packages: readonly string[]; programs: readonly string[] } {
  const missing = (Object.keys(servers) as ServerName[]).filter((name) => missingPrograms(name).length > 0)
  return {
    packages: [...new Set(missing.flatMap((name) => servers[name].packages))],
    programs: missing.flatMap(missingPrograms),
  }
}

/** The path of a program. Call `requireServer` first. */
export function programPath(name: ProgramName): string {
  const path = findProgram(name)
  if (path === null) throw new Error(`there is no program ${name}`)
  return path
}

function missingPrograms(name: ServerName): ProgramName[] {
  return servers[name].programs.filter((program) => findProgram(program) === null)
}

function findProgram(name: ProgramName): string | null {
  if (isAbsolute(name)) return existsSync(name) ? name : null
  const found = programFolders().find((folder) => isProgram(join(folder, name)))
  return found === undefined ? null : join(found, name)
}

/** Debian installs PostgreSQL outside of PATH, and other servers in folders that only root has in PATH. */
function programFolders(): string[] {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return [...postgresqlFolders(), ...path, '/usr/local/sbin', '/usr/sbin', '/sbin', SFTP_SERVER_FOLDER]
}

/** The folders of all installed PostgreSQL versions, newest first. */
function postgresqlFolders(): string[] {
  try {
    const versions = readdirSync(POSTGRESQL_FOLDER).sort((a, b) => Number(b) - Number(a))
    return versions.map((version) => join(POSTGRESQL_FOLDER, version, 'bin'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return []
    throw error
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return false
    throw error
  }
}
