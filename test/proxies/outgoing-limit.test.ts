/** A limit holds on the line to a proxy, with what the tunnel adds to it. */
// @tier stress
import { basename, join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256Of } from '../e2e/harness/world.ts'
import { startForwardProxy } from '../servers/forward-proxy.ts'
import { Relay } from '../servers/relay.ts'
import { expectRate } from '../suites/rates.ts'
import { namedPortal, portalName } from './named-portal.ts'

const MIB = 1024 * 1024
const user = { name: 'alice', password: 'right' }

test('a large file through a tunnel is sent, and received, at the rate of the limit', async () => {
  await using portal = await namedPortal({ isTls: true })
  await using proxy = await startForwardProxy({ names: [portalName], user })
  await using alice = await Relay.to(proxy.url)
  await using bob = await Relay.to(proxy.url)
  const { world } = portal
  const by = (relay: Relay) => ({
    env: { HTTPS_PROXY: proxy.url.replace(`:${proxy.port}`, `:${relay.port}`) },
  })
  const path = await world.file('large.bin', 24 * MIB)
  const limit = ['--limit-rate', '1MiB']
  const sending = world.start(
    ['send', path, '--to', 'bob', '--profile', 'alice', '--no-wait', '--json', ...limit],
    by(alice),
  )
  expect(await sending.ended).toMatchObject({ code: 0 })
  expectRate(alice, 'up', MIB)
  const flags = ['--into', 'in', '--create', '--once', '--profile', 'bob', '--json']
  const receiving = world.start(['receive', ...flags, ...limit], by(bob))
  expect(await receiving.ended).toMatchObject({ code: 0 })
  expectRate(bob, 'down', MIB)
  expect(await sha256Of(join(world.path('in'), basename(path)))).toBe(await sha256Of(path))
  for (const { json } of [sending, receiving]) {
    expect(json.filter(({ type, phase }) => phase === 'silence' || type === 'disconnected')).toEqual([])
  }
})
