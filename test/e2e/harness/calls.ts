/**
 * The system calls of a process, as strace shows them. They say what is durable when the power goes: a test that kills a process cannot show
 * that, because the system keeps what was written.
 */
import { readFileSync } from 'node:fs'
import { programPath, requireServer } from '../../servers/install.ts'
import { until, type World } from './world.ts'

/** A call that succeeded, with the paths in its arguments, in the order in which calls returned; or a request, where it began. */
export interface Call {
  /** Of a request: `PUT /v1/…`. Of the variants of a call, like `renameat2`, the plain name. */
  readonly name: string
  readonly paths: readonly string[]
}

export class TracedCalls {
  /** What the command is put behind. */
  readonly wrapper: readonly string[]
  readonly #path: string

  private constructor(path: string, names: readonly string[]) {
    this.#path = path
    const variants = names.flatMap((name) => VARIANTS[name] ?? [name])
    const shown = `trace=${[...variants, 'write', 'writev'].join(',')}`
    this.wrapper = [programPath('strace'), '-D', '-f', '-y', '-s', '300', '-e', shown, '-o', path]
  }

  static async of(world: World, names: readonly string[]): Promise<TracedCalls> {
    await requireServer('strace')
    return new TracedCalls(world.path('trace'), names)
  }

  /** All calls of a process, once it has ended. */
  async whenEnded(pid: number | undefined): Promise<Call[]> {
    // strace pads a short pid.
    const end = new RegExp(`^${pid} +\\+{3} exited`, 'm')
    await until(() => end.test(this.#text()), 'the trace is complete')
    return callsIn(this.#text())
  }

  #text(): string {
    return readFileSync(this.#path, 'utf8')
  }
}

const VARIANTS: Readonly<Record<string, readonly string[]>> = {
  fsync: ['fsync', 'fdatasync'],
  rename: ['rename', 'renameat', 'renameat2'],
  link: ['link', 'linkat'],
  unlink: ['unlink', 'unlinkat'],
}

function callsIn(trace: string): Call[] {
  const plain = new Map(Object.entries(VARIANTS).flatMap(([name, all]) => all.map((one) => [one, name] as const)))
  const begun = new Map<string, string>()
  const calls: Call[] = []
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const [, request] = /^writev?\(.*?"((?:GET|PUT|POST|DELETE) \/[^ ]*)/.exec(call) ?? []
    if (request !== undefined) calls.push({ name: request, paths: [] })
    if (call.endsWith(UNFINISHED)) {
      begun.set(thread, call.slice(0, -UNFINISHED.length))
      continue
    }
    const whole = call.startsWith('<... ') ? `${begun.get(thread)}${call}` : call
    if (!whole.endsWith(' = 0')) continue
    const [name = ''] = whole.split('(')
    const paths = [...whole.matchAll(/[<"]([^<>"]*)[>"]/g)].map(([, path = '']) => path)
    calls.push({ name: plain.get(name) ?? name, paths })
  }
  return calls
}

const UNFINISHED = '<unfinished ...>'
