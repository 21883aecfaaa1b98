import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { join as joinPortal } from '../library/join.ts'
import { openProfile } from '../library/profile.ts'
import type { SendEvent } from '../sender/events.ts'
import { exitCodes, interruptSignal, UsageError } from './exit.ts'
import { withAccounts } from './operator.ts'
import { output, print } from './output.ts'
import { runSend } from './send.ts'
import { chooseView } from './send-view.ts'
import { bytesText, durationText, printable } from './text.ts'

const MIB = 1024 * 1024
const SIZE_BYTES_DEFAULT = 256 * MIB
const READY_MS = 20_000
const STOP_MS = 10_000
const ANSWER_TIMEOUT_MS = 60_000

export function demoCommand(program: Command): void {
  program
    .command('demo')
    .summary('deliver a file or a folder end to end on this machine, and watch')
    .description(
      'Starts a portal and a receiver in a temporary folder, sends a file or a folder, shows both notifications, ' +
        'compares what arrived with what was sent, and stops everything again.',
    )
    .argument('[path]', 'file or folder to send; a random file of 256 MiB if not given')
    .addHelpText('after', '\nExamples:\n  golooader demo\n  golooader demo holiday.mp4\n  golooader demo photos')
    .action(async (path?: string) => {
      process.exitCode = await demo(path, interruptSignal())
    })
}

async function demo(given: string | undefined, signal: AbortSignal): Promise<number> {
  const folder = await mkdtemp(resolve(tmpdir(), 'golooader-demo-'))
  // The accounts of the demo must not mix with the user's own profiles.
  process.env.XDG_CONFIG_HOME = join(folder, 'config')
  process.env.XDG_STATE_HOME = join(folder, 'state')
  const data = join(folder, 'portal')
  const inbox = join(folder, 'inbox')
  const children: ChildProcess[] = []
  try {
    const source = given ?? (await makeFile(join(folder, 'hello.bin'), SIZE_BYTES_DEFAULT, signal))
    await requirePath(source)
    say(`a portal, a sender and a receiver, all in ${folder}\n`)
    const portal = start(children, 'portal', '--listen', '127.0.0.1:0', '--data', data, '--log-level', 'silent')
    await firstLine(portal, signal)
    for (const name of ['alice', 'bob']) {
      const link = await withAccounts({ data }, name, (accounts) => accounts.invite(name))
      await joinPortal(link, { profile: name, signal })
      say(`  ${name} joined`)
    }
    const receiver = start(children, 'receive', '--into', inbox, '--create', '--profile', 'bob', '--once')
    await firstLine(receiver, signal)
    say('  bob waits for files\n')

    const timing = new HopTiming()
    await using alice = await openProfile('alice')
    const view = await chooseView(output(), false)
    const timedView = {
      ...view,
      onEvent(event: SendEvent) {
        timing.note(event)
        view.onEvent(event)
      },
    }
    const options = { to: 'bob', responseTimeoutMs: ANSWER_TIMEOUT_MS, signal }
    const exitCode = await runSend(alice, [source], options, timedView)
    if (exitCode !== exitCodes.ok) return exitCode
    await exited(receiver)
    const name = (await readdir(inbox)).find((one) => one !== '.golooader')
    return await compare(source, join(inbox, name ?? basename(source)), timing)
  } finally {
    await Promise.all(children.map(stopChild))
  }
}

/** Compares what was delivered with the source, and prints the result. */
async function compare(source: string, delivered: string, timing: HopTiming): Promise<number> {
  const isFolder = (await stat(delivered)).isDirectory()
  // Something in the folder may have been left out, which the sender has said by then.
  const files = isFolder ? await filesIn(delivered) : ['']
  const [sent, arrived] = [await sha256Of(source, files), await sha256Of(delivered, files)]
  const isSame = sent.digest === arrived.digest && files.length === (timing.fileCount ?? 1)
  const same = isFolder ? `all ${files.length} delivered files are those sent` : 'the delivered file is the sent one'
  say(`
compared:    ${isSame ? same : 'THE FILES DIFFER'}
  sent       ${sent.digest}
  delivered  ${arrived.digest}
it lies at   ${delivered}
took         ${timing.text(arrived.sizeBytes)}

Now in earnest:
  npx golooader portal                     run a portal (--help on every command teaches by example)
  npx golooader invite alice               let alice join, then: npx golooader join LINK
The folder of this demo can go: rm -r ${join(delivered, '../..')}`)
  return isSame ? exitCodes.ok : exitCodes.bug
}

/** The start and the end of both hops. The second one begins during the first. */
class HopTiming {
  #startedAtMs = 0
  #firstFetchAtMs: number | null = null
  #storedAtMs = 0
  #deliveredAtMs = 0
  #fileCount: number | null = null

  /** The number of files of a folder; null for a file. */
  get fileCount(): number | null {
    return this.#fileCount
  }

  note(event: SendEvent): void {
    const nowMs = performance.now()
    if (event.type === 'started') {
      this.#startedAtMs = nowMs
      this.#fileCount = event.tree?.fileCount ?? null
    }
    if (event.type === 'fetched') this.#firstFetchAtMs ??= nowMs
    if (event.type !== 'notification') return
    if (event.notification.notification === 'stored') this.#storedAtMs = nowMs
    if (event.notification.notification === 'delivered') this.#deliveredAtMs = nowMs
  }

  text(sizeBytes: number): string {
    const firstMs = this.#storedAtMs - this.#startedAtMs
    const secondFromMs = Math.min(this.#firstFetchAtMs ?? this.#storedAtMs, this.#storedAtMs)
    const secondMs = this.#deliveredAtMs - secondFromMs
    const wholeMs = this.#deliveredAtMs - this.#startedAtMs
    const rate = bytesText((sizeBytes * 1000) / wholeMs)
    return (
      `${durationText(firstMs)} to the portal, ${durationText(secondMs)} from there to bob; ` +
      `both ran at once: ${durationText(wholeMs)} in all, ${rate}/s`
    )
  }
}

async function requirePath(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found?.isFile() === true || found?.isDirectory() === true) return
  throw new UsageError(`there is no file or folder ${printable(path)} to send`)
}

async function makeFile(path: string, sizeBytes: number, signal: AbortSignal): Promise<string> {
  const handle = await open(path, 'wx')
  try {
    const block = Buffer.allocUnsafe(MIB)
    for (let written = 0; written < sizeBytes; written += block.length) {
      signal.throwIfAborted()
      await handle.write(randomFillSync(block))
    }
  } finally {
    await handle.close()
  }
  return path
}

/** The paths of all files in a folder, in order, without links. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  return files.map(({ parentPath, name }) => relative(folder, join(parentPath, name))).sort()
}

/** The digest of a file, or of the paths and contents of files in a folder. @param files paths in the folder; one empty path for a file */
async function sha256Of(path: string, files: readonly string[]): Promise<{ digest: string; sizeBytes: number }> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for (const file of files) {
    if (file !== '') hash.update(`${file}\0`)
    for await (const bytes of createReadStream(join(path, file), { highWaterMark: MIB })) {
      hash.update(bytes)
      sizeBytes += bytes.length
    }
  }
  return { digest: hash.digest('hex'), sizeBytes }
}

/** Starts this program again as a child process. */
function start(children: ChildProcess[], ...args: string[]): ChildProcess {
  const program = fileURLToPath(new URL('../../bin/golooader.js', import.meta.url))
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  children.push(child)
  return child
}

/** Resolves when a child has printed its first line, which means that it is ready. */
async function firstLine(child: ChildProcess, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${child.spawnargs[2]} was not ready in time`)), READY_MS)
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    child.once('exit', (code) => reject(new Error(`${child.spawnargs[2]} ended with ${code} before it was ready`)))
    child.stdout?.once('data', () => {
      clearTimeout(late)
      resolve()
    })
  })
  child.stdout?.resume()
}

async function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  await new Promise((resolve) => child.once('exit', resolve))
}

async function stopChild(child: ChildProcess): Promise<void> {
  child.kill('SIGTERM')
  const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await exited(child)
  clearTimeout(kill)
}

function say(text: string): void {
  print(`${text}\n`)
}
