import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomFillSync } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdtemp, open, readdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
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
    .summary('deliver a file end to end on this machine, and watch')
    .description(
      'Starts a portal and a receiver in a temporary folder, sends a file from here to there, shows both\n' +
        'notifications, compares what arrived with what was sent, and stops everything again.',
    )
    .argument('[file]', 'file to send; a random one of 256 MiB if not given')
    .addHelpText('after', '\nExamples:\n  golooader demo\n  golooader demo holiday.mp4')
    .action(async (file?: string) => {
      process.exitCode = await demo(file, interruptSignal())
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
    await requireFile(source)
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
    const exitCode = await runSend(
      alice,
      [source],
      { to: ['bob'], answerTimeout: ANSWER_TIMEOUT_MS },
      timedView,
      signal,
    )
    if (exitCode !== exitCodes.ok) return exitCode
    await exited(receiver)
    return await compare(source, inbox, timing)
  } finally {
    await Promise.all(children.map(stopChild))
  }
}

/** Compares the delivered file with the source and prints the result. */
async function compare(source: string, inbox: string, timing: HopTiming): Promise<number> {
  const name = (await readdir(inbox)).find((one) => one !== '.golooader')
  const delivered = join(inbox, name ?? basename(source))
  const { size } = await stat(source)
  const [sent, arrived] = [await sha256Of(source), await sha256Of(delivered)]
  const isSame = sent === arrived
  say(`
compared:    ${isSame ? 'the delivered file is the sent one' : 'THE FILES DIFFER'}
  sent       ${sent}
  delivered  ${arrived}
it lies at   ${delivered}
took         ${timing.text(size)}

Now in earnest:
  npx golooader portal                     run a portal (--help on every command teaches by example)
  npx golooader invite alice               let alice join, then: npx golooader join LINK
The folder of this demo can go: rm -r ${join(inbox, '..')}`)
  return isSame ? exitCodes.ok : exitCodes.bug
}

/** The start and the end of both hops. The second one begins during the first. */
class HopTiming {
  #startedAtMs = 0
  #firstFetchAtMs: number | null = null
  #storedAtMs = 0
  #deliveredAtMs = 0

  note(event: SendEvent): void {
    const nowMs = performance.now()
    if (event.type === 'started') this.#startedAtMs = nowMs
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

async function requireFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => null)
  if (found?.isFile() !== true) throw new UsageError(`there is no file ${printable(path)} to send`)
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

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: MIB }), hash)
  return hash.digest('hex')
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
