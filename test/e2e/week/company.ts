/**
 * A company of the week test: a machine with a drop folder that is sent to a partner, and an inbox whose files are imported. It
 * remembers what it has dropped, and finds at the end where everything is.
 */
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Machine } from '../../servers/machine.ts'
import { until, type World } from '../harness/world.ts'

/** Of a file that does not change. Writers pause for less. */
const SETTLE_MS = 600
const WRITER_PAUSE_MS = 100
const SLOW_PARTS = 5
/** A service that was killed starts again at once. */
const RESTART = 'RestartSec=100ms'

/** What happened to what was sent: one line for each event. */
const OUTCOME = `#!/bin/sh -e
cat >/dev/null
echo "$GOLOOADER_EXEC_EVENT $GOLOOADER_EXEC_TRANSFER_ID" >>outcomes.log
`

/** Imports a file: notes its digest and its delivery. A file with the word BROKEN in its first line cannot be imported before it is allowed. */
const IMPORT = `#!/bin/sh -e
cat >/dev/null
if test -f "$GOLOOADER_EXEC_PATH" && head -c 6 "$GOLOOADER_EXEC_PATH" | grep -q BROKEN && ! test -e import-is-repaired; then
  echo "line 7 has no date"
  exit 1
fi
echo "$GOLOOADER_EXEC_TRANSFER_ID" >>imports.log
`

/** Something that a person has put into the drop folder. */
export interface Dropped {
  readonly name: string
  /** Of a file its digest, of a folder that of its files. No two have the same. */
  readonly digest: string
}

export class Company {
  readonly name: string
  readonly machine: Machine
  readonly dropped: Dropped[] = []
  /** How often a person has put back what had failed. */
  returnedCount = 0
  #count = 0

  private constructor(name: string, machine: Machine) {
    this.name = name
    this.machine = machine
    for (const folder of ['work', 'out', 'in']) mkdirSync(machine.path(folder), { recursive: true })
    this.#script('import.sh', IMPORT)
    this.#script('outcome.sh', OUTCOME)
  }

  static async found(world: World, name: string): Promise<Company> {
    return new Company(name, await Machine.start(world, world.path(name)))
  }

  /** Installs the services, once the partner has joined as well. */
  async open(partner: string, importFlags: readonly string[]): Promise<void> {
    const { machine } = this
    const settle = `${SETTLE_MS}ms`
    const receive = ['receive', '--into', 'in', '--create', '--exec', './import.sh', ...importFlags]
    const watch = ['watch', 'out', '--to', partner, '--settle', settle, '--exec', './outcome.sh']
    await machine.run(0, 'service', 'install', ...receive)
    await machine.run(0, 'service', 'install', ...watch)
    for (const service of ['receive', 'watch']) {
      await machine.adjust(service, RESTART)
      await machine.run(0, 'service', 'restart', service)
    }
  }

  #script(name: string, text: string): void {
    writeFileSync(this.machine.path(name), text)
    chmodSync(this.machine.path(name), 0o755)
  }

  /** Renames a finished file into the drop folder. */
  async dropFile(name: string, sizeBytes: number, beginning = ''): Promise<void> {
    const content = Buffer.concat([Buffer.from(beginning), randomBytes(sizeBytes)])
    writeFileSync(this.machine.path('work', name), content)
    await this.#place(name, digestOf(content))
  }

  /** Renames a folder of small files into the drop folder. */
  async dropFolder(name: string, fileCount: number): Promise<void> {
    const folder = this.machine.path('work', name)
    mkdirSync(join(folder, 'below'), { recursive: true })
    for (let at = 0; at < fileCount; at++)
      writeFileSync(join(folder, at % 2 === 0 ? 'below' : '', `${at}.txt`), randomBytes(500))
    await this.#place(name, digestOfTree(folder))
  }

  /**
   * Writes a file in the drop folder itself, slowly. If this machine stands still for the settling time, what is there by then is taken over,
   * and the rest becomes another file of that name.
   */
  async dropSlowly(name: string): Promise<void> {
    let written: Buffer[] = []
    let inode: bigint | null = null
    const drop = (): void => {
      if (written.length > 0) this.dropped.push({ name, digest: digestOf(Buffer.concat(written)) })
      written = []
    }
    for (let count = 0; count < SLOW_PARTS; count++) {
      const part = randomBytes(20_000)
      const descriptor = openSync(this.machine.path('out', name), 'a')
      const { ino } = fstatSync(descriptor, { bigint: true })
      if (ino !== inode) drop()
      inode = ino
      writeSync(descriptor, part)
      closeSync(descriptor)
      written.push(part)
      await sleep(WRITER_PAUSE_MS)
    }
    drop()
  }

  async #place(name: string, digest: string): Promise<void> {
    const target = this.machine.path('out', name)
    // A name that comes again waits until the last one of that name was taken.
    await until(() => !existsSync(target), `${target} is taken`)
    renameSync(this.machine.path('work', name), target)
    this.dropped.push({ name, digest })
  }

  /** A usual night. */
  async dropNight(): Promise<void> {
    const night = ++this.#count
    await this.dropFile('report.csv', 2_000)
    await this.dropFile(`sales-${night}.csv`, 50_000)
    await this.dropFolder(`photos-${night}`, 12)
    await this.dropSlowly(`slow-${night}.bin`)
    await this.dropFile(`film-${night}.bin`, 6_000_000)
    await this.dropFile('report.csv', 2_000)
  }

  /** A person looks through what has failed, deletes the explanations, and puts the rest back. @returns the explanations */
  async returnFailed(): Promise<string[]> {
    const folder = this.machine.path('out', 'failed')
    const problems: string[] = []
    for (const name of namesIn(folder)) {
      const path = join(folder, name)
      if (/\.problem\.(?:txt|json)$/.test(name)) {
        if (name.endsWith('.txt')) problems.push(readFileSync(path, 'utf8'))
        rmSync(path)
        continue
      }
      await until(() => !existsSync(this.machine.path('out', name)), `${name} is taken`)
      renameSync(path, this.machine.path('out', name))
      this.returnedCount++
    }
    return problems
  }

  /** What is on its way: neither in `sent` nor in `failed`. */
  openPaths(): string[] {
    const out = this.machine.path('out')
    const waiting = namesIn(out).filter((name) => !['sent', 'failed', '.sending'].includes(name))
    // What a killed process had tried the folder with stays for an hour.
    const sending = namesIn(join(out, '.sending')).filter((name) => name !== 'lock' && !name.startsWith('.probe-'))
    return [...waiting, ...sending.map((name) => join('.sending', name))]
  }

  isQuiet(): boolean {
    return this.openPaths().length === 0
  }

  /** Everything in a folder that is a file or a folder of a person, by its digest, with the paths that have it. */
  contentOf(...folder: string[]): Map<string, string[]> {
    const found = new Map<string, string[]>()
    const top = this.machine.path(...folder)
    for (const name of namesIn(top)) {
      if (name === '.golooader' || /\.(?:receipt|problem)\.(?:json|txt)$/.test(name)) continue
      const path = join(top, name)
      const digest = statSync(path).isDirectory() ? digestOfTree(path) : digestOf(readFileSync(path))
      found.set(digest, [...(found.get(digest) ?? []), path])
    }
    return found
  }

  /** All that the drop folder's service has written. */
  watchLog(): Promise<string> {
    return this.machine.shell('journalctl --no-pager --quiet --user-unit=golooader-watch')
  }

  /** The deliveries that were imported; one that was imported twice is there twice. */
  imported(): string[] {
    return linesOf(this.machine.path('imports.log'))
  }

  /** The transfers for which the command of the drop folder ran, and the events of each. */
  outcomes(): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>()
    for (const line of linesOf(this.machine.path('outcomes.log'))) {
      const [event = '', transferId = ''] = line.split(' ')
      found.set(transferId, (found.get(transferId) ?? new Set()).add(event))
    }
    return found
  }
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : []
}

function linesOf(path: string): string[] {
  return readFileSync(path, 'utf8').trimEnd().split('\n')
}

const digestOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex')

/** Of the paths and contents of all files in a folder. */
function digestOfTree(folder: string): string {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
  const lines = files.map(({ parentPath, name }) => {
    const path = join(parentPath, name)
    return `${relative(folder, path)} ${digestOf(readFileSync(path))}`
  })
  return digestOf(Buffer.from(lines.sort().join('\n')))
}
