/**
 * What a receiver says of a folder is true when the power goes: the calls of its process in their order. A test that kills a process cannot show
 * that, because the system keeps what was written.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { programPath, requireServer } from '../../servers/install.ts'
import { until, World } from '../harness/world.ts'

const CALLS = 'fsync,fdatasync,syncfs,rename,renameat,renameat2,write,writev'

/** The calls that matter, one a line, in the order in which they returned or, of requests, began. */
function stepsIn(trace: string, inbox: string): string[] {
  const begun = new Map<string, string>()
  const steps: string[] = []
  for (const line of trace.split('\n')) {
    const [, thread = '', call = ''] = /^(\d+) +(.*)$/.exec(line) ?? []
    const isUnfinished = call.endsWith('<unfinished ...>')
    if (/^writev?\(/.test(call) && /POST \/v1\/inbox\/[^ ]*disposition/.test(call)) steps.push('answer')
    if (isUnfinished) begun.set(thread, call.slice(0, -'<unfinished ...>'.length))
    const whole = call.startsWith('<... ') ? `${begun.get(thread)}${call}` : call
    if (isUnfinished || !/ = 0$/.test(whole)) continue
    const paths = [...whole.matchAll(/[<"]([^<>"]*)[>"]/g)].map(([, path = '']) => path)
    const shown = paths.filter((path) => path.startsWith(inbox)).map((path) => path.slice(inbox.length))
    if (/^f(?:data)?sync\(/.test(whole) && shown.length > 0) steps.push(`sync ${shown[0]}`)
    if (/^syncfs\(/.test(whole) && shown.length > 0) steps.push('sync all')
    if (/^rename/.test(whole) && shown.length > 1) steps.push(`rename ${shown.at(-1)}`)
  }
  return steps
}

test.each([
  ['the whole file system', ['sync all'], [] as string[]],
  [
    'each file and folder',
    ['sync /a.txt', 'sync /deep/b.txt', 'sync /deep', 'sync /empty', 'sync '].map((one) => one.replace(' ', ' TREE')),
    // There is no command `sync`.
    ['env', 'PATH=/nowhere'],
  ],
])('a folder and then its name are durable before the portal is told: by a sync of %s', async (_what, syncs, env) => {
  await requireServer('strace')
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const trace = world.path('trace')
  const strace = [programPath('strace'), '-D', '-f', '-y', '-s', '300', '-e', `trace=${CALLS}`, '-o', trace]
  const bob = await world.receiver('bob', [], { wrapper: [...strace, ...env] })
  const folder = join(world.folder, 'photos')
  for (const name of ['deep', 'empty']) mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, 'a.txt'), 'a')
  writeFileSync(join(folder, 'deep/b.txt'), 'b')
  expect((await world.send(folder, 'bob').ended).code).toBe(0)
  const { transferId } = await bob.object(({ type }) => type === 'received')
  await bob.stop()
  await until(async () => readFileSync(trace, 'utf8').includes(`${bob.child.pid} +++ exited`), 'the trace is complete')

  const steps = stepsIn(readFileSync(trace, 'utf8'), world.inbox('bob'))
  const tree = `/.golooader/${transferId}.tree`
  const published = steps.indexOf('rename /photos')
  const answered = steps.indexOf('answer')
  for (const sync of syncs) {
    const at = steps.lastIndexOf(sync.replace('TREE', tree), published)
    expect(at, `${sync} in ${JSON.stringify(steps)}`).toBeGreaterThanOrEqual(0)
  }
  const named = steps.indexOf('sync ', published)
  expect([published > 0, named > published, answered > named], JSON.stringify(steps)).toEqual([true, true, true])
})
