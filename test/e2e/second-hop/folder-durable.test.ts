/** What a receiver says of a folder is true when the power goes: the calls of its process in their order. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { type Call, TracedCalls } from '../harness/calls.ts'
import { World } from '../harness/world.ts'

/** What matters of calls, one a line. */
function stepsOf(calls: readonly Call[], inbox: string): string[] {
  const steps: string[] = []
  for (const { name, paths } of calls) {
    const shown = paths.filter((path) => path.startsWith(inbox)).map((path) => path.slice(inbox.length))
    if (/^POST \/v1\/inbox\/.*disposition/.test(name)) steps.push('answer')
    if (name === 'fsync' && shown.length > 0) steps.push(`sync ${shown[0]}`)
    if (name === 'syncfs' && shown.length > 0) steps.push('sync all')
    if (name === 'rename' && shown.length > 1) steps.push(`rename ${shown.at(-1)}`)
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
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  const traced = await TracedCalls.of(world, ['fsync', 'syncfs', 'rename'])
  const bob = await world.receiver('bob', [], { wrapper: [...traced.wrapper, ...env] })
  const folder = join(world.folder, 'photos')
  for (const name of ['deep', 'empty']) mkdirSync(join(folder, name), { recursive: true })
  writeFileSync(join(folder, 'a.txt'), 'a')
  writeFileSync(join(folder, 'deep/b.txt'), 'b')
  expect((await world.send(folder, 'bob').ended).code).toBe(0)
  const { transferId } = await bob.object(({ type }) => type === 'received')
  await bob.stop()
  const steps = stepsOf(await traced.whenEnded(bob.child.pid), world.inbox('bob'))
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
