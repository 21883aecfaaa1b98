/**
 * A proxy removes the Authorization header, as Squid does by default. The problem names the proxy, not the invite or
 * the token.
 */
import { expect, test } from 'vitest'
import { MIB } from '../first-hop/requests.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { type Ended, World } from '../harness/world.ts'

const WITHOUT_TOKEN = { withoutHeader: 'authorization' }

function expectProxyBlamed({ code, stderr }: Ended): void {
  expect(code, stderr).toBe(4)
  expect(stderr).toMatch(/removes the Authorization header[\s\S]*login=PASSTHRU/)
  expect(stderr).toContain('credentials-missing')
  expect(stderr, 'a new link would not help').not.toMatch(/golooader join|Ask its operator/)
}

test('joining through a proxy that removes the token reports it, and the same invite works once the proxy is fixed', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  const { stdout } = await world.run('invite', 'alice', '--data', world.dataFolder)
  const invite = /gli_[A-Za-z0-9_-]{43}/.exec(stdout)?.[0]
  const link = `${network.url}/join#${invite}`
  network.rule = () => WITHOUT_TOKEN
  expectProxyBlamed(await world.run('join', link))
  network.rule = () => null
  const again = await world.run('join', link)
  expect(again.code, again.stderr).toBe(0)
  expect(again.stdout).toContain('as alice')
})

test('sender and receiver behind such a proxy are not told to ask for a new link', async () => {
  await using world = await World.create()
  await using network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice', 'bob'], { alice: network, bob: network })
  network.rule = () => WITHOUT_TOKEN
  const path = await world.file('report.bin', MIB)
  expectProxyBlamed(await world.run('send', path, '--to', 'bob', '--profile', 'alice'))
  expectProxyBlamed(await world.run('receive', '--into', 'in', '--create', '--profile', 'bob'))
  expectProxyBlamed(await world.run('status', '--profile', 'alice'))
})

test('a token that is invalid gets another message', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const { code, stderr } = await world.start(['status'], {
    env: { GOLOOADER_PORTAL: world.portalUrl, GOLOOADER_TOKEN: `glt_${'a'.repeat(16)}_${'b'.repeat(43)}` },
  }).ended
  expect([code, stderr.includes('removes the Authorization header')]).toEqual([4, false])
})
