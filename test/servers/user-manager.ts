/**
 * The systemd manager of a user with its journal, in name spaces of its own: it sees neither the units nor the processes of this machine.
 * It is root's, because only root may make such a name space.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout } from 'node:timers/promises'
import { hasCode } from '../../src/fs/index.ts'
import { programPath, requireServer } from './install.ts'

const CGROUPS = '/sys/fs/cgroup'
/** The new hierarchy on a machine that has the old one, too. */
const HYBRID = `${CGROUPS}/unified`
const RUNTIME = '/run/user/0'
/** The journal finds the user and the unit of a process by these names, below slices. */
const OF_USER = 'user.slice/user-0.slice/user@0.service'
const LOOK_MS = 20
const END_MS_MAX = 10_000

/**
 * systemd calls itself a user's manager only on a machine that systemd has booted, which a folder in /run says.
 * The journal survives a loss of power, as on a disk. $1 is the cgroup; the programs are in the environment.
 */
const SCRIPT = `set -e
test ! -d ${HYBRID} || mount --bind ${HYBRID} ${CGROUPS}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/systemd/system /run/log/journal ${RUNTIME} "$HOME/.journal" && chmod 700 ${RUNTIME}
mount --bind "$HOME/.journal" /run/log/journal
"$JOURNALD" >&2 &
while ! test -S /run/systemd/journal/stdout; do sleep 0.02; done
sh -c 'echo $$ >"$1/init.scope/cgroup.procs"; exec "$SYSTEMD" --user --log-target=console --log-level=warning' sh "$1" >&2 &
until systemctl --user is-active --quiet default.target 2>/dev/null; do sleep 0.02; done
echo ready
wait
`

export class UserManager implements AsyncDisposable {
  /** Added to the environment of a command, so that it finds the manager. */
  readonly env = { XDG_RUNTIME_DIR: RUNTIME }
  /** Runs a command within the name spaces of the manager, in the home folder. */
  readonly wrapper: readonly string[]
  readonly #end: () => Promise<void>

  private constructor(pid: number, home: string, end: () => Promise<void>) {
    this.wrapper = ['nsenter', `--target=${pid}`, '--mount', '--pid', 'sh', '-c', 'cd "$0" && exec "$@"', home]
    this.#end = end
  }

  /** @param home the home folder of the user, in which the units will lie */
  static async start(home: string): Promise<UserManager> {
    await requireServer('systemd')
    if (process.getuid?.() !== 0) throw new Error('only root may start a manager in a name space of its own')
    const name = `${relative(tmpdir(), home).replaceAll('/', '_')}.slice`
    const own = join(existsSync(HYBRID) ? HYBRID : CGROUPS, name)
    mkdirSync(join(own, OF_USER, 'init.scope'), { recursive: true })
    const args = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', SCRIPT, 'sh']
    // It ends with this process, however that ends.
    const child = spawn('setpriv', ['--pdeathsig=KILL', 'unshare', ...args, join(CGROUPS, name, OF_USER)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: home,
        XDG_RUNTIME_DIR: RUNTIME,
        SYSTEMD: programPath('/lib/systemd/systemd'),
        JOURNALD: programPath('/lib/systemd/systemd-journald'),
      },
    })
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      errors += text
    })
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
    const end = async (): Promise<void> => {
      child.kill('SIGKILL')
      await ended
      await removeCgroup(own)
    }
    const ready = new Promise<boolean>((resolve) => {
      createInterface({ input: child.stdout }).on('line', (line) => resolve(line === 'ready'))
      void ended.then(() => resolve(false))
    })
    if (await ready) return new UserManager(firstChild(child.pid ?? 0), home, end)
    await end()
    throw new Error(`the manager of a user did not start:\n${errors}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end()
  }
}

/** The first process of the name space that `unshare` has made, as this machine numbers it. */
function firstChild(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim())
}

/** Its processes have been killed, which the kernel notes a moment later. */
async function removeCgroup(folder: string): Promise<void> {
  const entries = readdirSync(folder, { withFileTypes: true })
  for (const entry of entries.filter((one) => one.isDirectory())) await removeCgroup(join(folder, entry.name))
  const deadline = performance.now() + END_MS_MAX
  while (true) {
    try {
      return rmdirSync(folder)
    } catch (error) {
      if (!hasCode(error, 'EBUSY') || performance.now() > deadline) throw error
      await setTimeout(LOOK_MS)
    }
  }
}
