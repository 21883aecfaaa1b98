/** The portal's data folder is moved away while the portal runs, and is back at the next start. */
import { rename } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { sha256Of, until, World } from '../harness/world.ts'

test('while the data folder is away nothing is lost or accepted; after a restart everything is there', async () => {
  await using world = await World.create()
  const portal = await world.portal()
  await world.join(['alice', 'bob'])
  const path = await world.file('a.bin', 20_000_000)
  const stored = await world.send(path, 'bob', '--no-wait').ended
  expect(stored.code, stored.stderr).toBe(0)

  const moved = world.path('moved')
  await rename(world.dataFolder, moved)
  // A receiver that asks just now must not be told that the file is damaged.
  const bob = world.start(['receive', '--into', world.inbox('bob'), '--create', '--profile', 'bob', '--json'])
  await bob.object(({ type }) => type === 'disconnected')
  for (const sizeBytes of [100, 9_000_000]) {
    const other = await world.file(`${sizeBytes}.bin`, sizeBytes)
    const { code, stdout } = await world.send(other, 'bob', '--answer-timeout', '1500ms').ended
    expect(code, stdout).toBe(5)
    expect(stdout).not.toContain(moved)
    expect(stdout).toContain('The portal is not ready to serve')
  }
  expect((await fetch(`${world.portalUrl}/readyz`)).status).toBe(503)
  // One line for each kind of work, at intervals, says what is missing. There is no stack for each try.
  await until(() => portal.stderr.includes('is gone: it was moved or removed'), 'the log says what is gone')
  expect(portal.stderr).toContain(world.dataFolder)
  expect(portal.stderr).not.toMatch(/"stack"|\n\s+at /)
  expect(await portal.stop(), portal.stderr).toMatchObject({ code: 0 })

  const listen = new URL(world.portalUrl).host
  const again = world.start(['portal', '--listen', listen, '--data', moved])
  await again.line((line) => line.startsWith('portal listening on '))
  const received = await bob.object(({ type }) => type === 'received')
  expect(await sha256Of(String(received.path))).toBe(await sha256Of(path))
  expect(bob.json.filter(({ type }) => type === 'withdrawn' || type === 'refused')).toEqual([])
  // What was not accepted before is accepted now.
  const late = await world.send(world.path('files', '100.bin'), 'bob').ended
  expect(late.code, late.stderr).toBe(0)
})

test('a portal that starts without a ledger says that it is new; one that has its ledger does not', async () => {
  await using world = await World.create()
  const first = await world.portal()
  await first.line((line) => /this portal is new, its folder had no ledger.*is its disk mounted/.test(line))
  await first.line((line) => line.startsWith('invite someone: '))
  await first.stop()
  const again = await world.portal()
  await again.line((line) => line.startsWith('invite someone: '))
  expect((await again.stop()).stdout).not.toContain('this portal is new')
})
