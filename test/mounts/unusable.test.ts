/** golooader refuses an unsuitable disk at the start, in one sentence, before it uses the invite. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Ended, World } from '../e2e/harness/world.ts'
import { davfs, mountPoor, poorDisks, whyNot } from './poor-disks.ts'

function expectRefused({ code, stderr }: Ended, folder: string, says: RegExp): void {
  expect(stderr).toMatch(says)
  expect(stderr, 'the path').toContain(folder)
  expect(stderr.trimEnd().split('\n'), 'one sentence').toHaveLength(1)
  expect(stderr).toMatch(/\(folder-unavailable\)$/m)
  expect(stderr).not.toMatch(/bug|\n\s+at /)
  expect(code).toBe(2)
}

describe.each(Object.entries(poorDisks))('%s', (name, kind) => {
  const reason = whyNot(kind)
  if (reason !== null) console.log(`not tested here: ${name}: ${reason}`)

  test.skipIf(reason !== null)('carries no data of a portal, no profile, no state of a sender, no inbox', async () => {
    await using world = await World.create()
    const mount = await mountPoor(kind)
    onTestFinished(() => mount[Symbol.asyncDispose]())
    const { folder } = mount
    const { says } = kind
    const before = await readdir(folder)
    const inside = join(folder, 'deep', 'inside')
    // A full disk still lets golooader create an empty folder.
    const data = before.length > 0 ? folder : inside
    expectRefused(await world.run('portal', '--listen', '127.0.0.1:0', '--data', data), data, says)

    await world.portal()
    await world.join(['alice', 'bob'])
    const invited = await world.run('invite', 'dora', '--data', world.dataFolder)
    const link = /http\S+/.exec(invited.stdout)?.[0] ?? ''
    const joining = await world.start(['join', link], { env: { XDG_CONFIG_HOME: data } }).ended
    expectRefused(joining, data, says)
    expect((await world.run('join', link)).code, 'the invite is still good').toBe(0)

    const file = await world.file('plan.pdf', 1000)
    const sending = world.start(['send', file, '--to', 'bob', '--profile', 'alice'], { env: { XDG_STATE_HOME: data } })
    expectRefused(await sending.ended, data, says)
    const alice = await world.client('alice')
    expect((await alice.transfers()).transfers, 'nothing was announced').toEqual([])

    const receiving = world.run('receive', '--into', data, '--create', '--profile', 'bob', '--once')
    expectRefused(await receiving, data, says)
    expect(
      (await readdir(folder)).filter((one) => one.startsWith('.probe-')),
      'nothing stays of the probe',
    ).toEqual([])
  })
})

describe('davfs2', () => {
  const reason = whyNot(davfs)
  if (reason !== null) console.log(`not tested here: davfs2: ${reason}`)

  test.skipIf(reason !== null)('carries no ledger, which needs memory that processes share', async () => {
    await using world = await World.create()
    const mount = await mountPoor(davfs)
    onTestFinished(() => mount[Symbol.asyncDispose]())
    const data = join(mount.folder, 'data')
    expectRefused(await world.run('portal', '--listen', '127.0.0.1:0', '--data', data), data, davfs.says)
  })
})
