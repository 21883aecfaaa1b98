/**
 * What a watcher relies on is durable when the power goes: the calls of its process in their order. A test that kills a process cannot show that,
 * because the system keeps what was written.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { programPath, requireServer } from '../../servers/install.ts'
import { until } from '../harness/world.ts'
import { Outbox, outboxWorld } from './scene.ts'

const CALLS = 'fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,write,writev'

/** The calls that matter, one a line, in the order in which they returned or, of requests, began. Batches are called BATCH. */
function stepsIn(trace: string, outbox: string, state: string): string[] {
  const begun = new Map<string, string>()
  const steps: string[] = []
  const shown = (path: string): string =>
    path
      .replace(outbox, 'OUTBOX')
      .replace(state, 'STATE')
      .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'BATCH')
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const isUnfinished = call.endsWith('<unfinished ...>')
    if (/^writev?\(/.test(call) && /(?:PUT|POST) \/v1\/transfers/.test(call)) steps.push('send')
    if (isUnfinished) begun.set(thread, call.slice(0, -'<unfinished ...>'.length))
    const whole = call.startsWith('<... ') ? `${begun.get(thread)}${call}` : call
    if (isUnfinished || !/ = 0$/.test(whole)) continue
    const paths = [...whole.matchAll(/[<"]([^<>"]*)[>"]/g)].map(([, path = '']) => path)
    const own = paths.filter((path) => path.startsWith(outbox) || path.startsWith(state)).map(shown)
    const [name = ''] = whole.split('(')
    if (own.length > 0) steps.push(`${name.replace(/^fdatasync$/, 'fsync').replace(/at2?$/, '')} ${own.join(' ')}`)
  }
  return steps
}

/** Where the first step is that matches, from a place on. */
function at(steps: readonly string[], pattern: RegExp, from = 0): number {
  const found = steps.findIndex((step, index) => index >= from && pattern.test(step))
  expect(found, `${pattern} from ${from} in ${JSON.stringify(steps, null, 1)}`).toBeGreaterThanOrEqual(0)
  return found
}

test('a file is taken over durably before it is sent, and its end is durable before the journal forgets it', async () => {
  await requireServer('strace')
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  const trace = world.path('trace')
  const strace = [programPath('strace'), '-D', '-f', '-y', '-s', '300', '-e', `trace=${CALLS}`, '-o', trace]
  const watch = outbox.start(['--once'], {}, strace)
  expect(await watch.ended).toMatchObject({ code: 0 })
  await until(() => readFileSync(trace, 'utf8').includes(`${watch.child.pid} +++ exited`), 'the trace is complete')
  const steps = stepsIn(readFileSync(trace, 'utf8'), outbox.folder, world.path('state'))

  const record = at(steps, /^fsync OUTBOX\/\.sending\/BATCH\.jsonl/)
  const recordNamed = at(steps, /^fsync OUTBOX\/\.sending$/, record)
  const taken = at(steps, /^rename OUTBOX\/a\.txt OUTBOX\/\.sending\/BATCH\/a\.txt/, recordNamed)
  const there = at(steps, /^fsync OUTBOX\/\.sending\/BATCH$/, taken)
  const notHere = at(steps, /^fsync OUTBOX$/, taken)
  const sent = at(steps, /^send/)
  expect(sent, JSON.stringify(steps, null, 1)).toBeGreaterThan(Math.max(there, notHere))

  const ended = at(steps, /^fsync OUTBOX\/\.sending\/BATCH\.jsonl/, sent)
  const forgotten = at(steps, /^unlink STATE\/golooader\/journal\/[0-9a-f]+\.(?:json|batch)/, sent)
  expect(forgotten).toBeGreaterThan(ended)
  const receipt = at(steps, /^fsync OUTBOX\/sent\/a\.txt\.receipt\.json/, ended)
  const linked = at(steps, /^link OUTBOX\/.*a\.txt OUTBOX\/sent\/a\.txt/, receipt)
  const shelved = at(steps, /^fsync OUTBOX\/sent$/, linked)
  const left = at(steps, /^fsync OUTBOX\/\.sending\/BATCH$/, linked)
  const over = at(steps, /^unlink OUTBOX\/\.sending\/BATCH\.jsonl/)
  expect(over).toBeGreaterThan(Math.max(shelved, left, forgotten))
})
