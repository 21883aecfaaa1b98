/** What a watcher relies on is durable when the power goes: the calls of its process in their order. */
import { expect, test } from 'vitest'
import { type Call, TracedCalls } from '../harness/calls.ts'
import { Outbox, outboxWorld } from './scene.ts'

/** What matters of calls, one a line. Batches are called BATCH. */
function stepsOf(calls: readonly Call[], outbox: string, state: string): string[] {
  const steps: string[] = []
  for (const { name, paths } of calls) {
    if (/^(?:PUT|POST) \/v1\/transfers/.test(name)) steps.push('send')
    const own = paths.filter((path) => path.startsWith(outbox) || path.startsWith(state))
    const shown = own.map((path) =>
      path
        .replace(outbox, 'OUTBOX')
        .replace(state, 'STATE')
        .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, 'BATCH'),
    )
    if (shown.length > 0) steps.push(`${name} ${shown.join(' ')}`)
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
  await using world = await outboxWorld()
  await world.receiver('bob')
  const outbox = new Outbox(world)
  outbox.drop('a.txt', 'a')
  const traced = await TracedCalls.of(world, ['fsync', 'rename', 'link', 'unlink', 'rmdir'])
  const watch = outbox.start(['--once'], {}, traced.wrapper)
  expect(await watch.ended).toMatchObject({ code: 0 })
  const steps = stepsOf(await traced.whenEnded(watch.child.pid), outbox.folder, world.path('state'))

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
  const receipt = at(steps, /^fsync OUTBOX\/sent\/\.[0-9a-f]+\.partial/, ended)
  const named = at(steps, /^link OUTBOX\/sent\/\.[0-9a-f]+\.partial OUTBOX\/sent\/a\.txt\.receipt\.json/, receipt)
  const linked = at(steps, /^link OUTBOX\/.*a\.txt OUTBOX\/sent\/a\.txt$/, named)
  const shelved = at(steps, /^fsync OUTBOX\/sent$/, linked)
  const left = at(steps, /^fsync OUTBOX\/\.sending\/BATCH$/, linked)
  const over = at(steps, /^unlink OUTBOX\/\.sending\/BATCH\.jsonl/)
  expect(over).toBeGreaterThan(Math.max(shelved, left, forgotten))
})
