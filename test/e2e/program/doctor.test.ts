/** `golooader doctor` tests the connection to a portal, reports the proxies in between, and leaves nothing behind. */
import { expect, test } from 'vitest'
import { FaultyNetwork, type Seen } from '../harness/proxy.ts'
import { World } from '../harness/world.ts'

interface Report {
  readonly findings: readonly { readonly check: string; readonly verdict: string; readonly text: string }[]
  readonly exitCode: number
}

async function scene(): Promise<{ world: World; network: FaultyNetwork }> {
  const world = await World.create()
  const network = await FaultyNetwork.open(() => world.portalUrl)
  await world.portal()
  await world.join(['alice'], { alice: network })
  return { world, network }
}

async function examined(world: World, ...args: string[]) {
  const { code, stdout, stderr } = await world.run('doctor', '--json', ...args)
  const report: Report = JSON.parse(stdout)
  expect(report.exitCode, stderr).toBe(code)
  const verdicts = Object.fromEntries(report.findings.map(({ check, verdict }) => [check, verdict]))
  const texts = Object.fromEntries(report.findings.map(({ check, text }) => [check, text]))
  return { code, verdicts, texts, stdout }
}

const isUpload = ({ method, path }: Seen): boolean => method === 'PUT' && path.endsWith('/doctor')

test('without a proxy all checks pass, and nothing is left at the portal', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const { code, verdicts, texts, stdout } = await examined(world)
  expect(code).toBe(0)
  expect(texts.program).toMatch(/^golooader \d+\.\d+\.\d+\S* with Node v24\.\S+ on \S+ \S+ \S+$/)
  expect(texts.address).toBe(`${world.portalUrl}, profile alice`)
  expect(Object.keys(verdicts)).toEqual(expect.arrayContaining(['tls', 'clock', 'portal', 'token', 'upload size']))
  const noted = Object.entries(verdicts).filter(([, verdict]) => verdict !== 'ok')
  expect(noted).toEqual([['tls', 'note']])
  expect(stdout, 'what can be pasted has no secrets').not.toMatch(/gl[tk]_/)
  expect((await (await world.client('alice')).transfers()).transfers).toEqual([])
  expect(await world.stored()).toEqual([])
})

test('a proxy that buffers, limits and decodes is described, and files can still be transferred', async () => {
  const { world, network } = await scene()
  await using _ = network
  network.rule = (seen) => {
    if (seen.path === '/v1/events') return { holdAnswer: true }
    return isUpload(seen) ? { cutRequestAfterBytes: 100_000 } : null
  }
  const { code, verdicts, texts } = await examined(world)
  expect(code).toBe(0)
  expect(verdicts).toMatchObject({ streams: 'note', 'upload size': 'note', 'upload time': 'note', token: 'ok' })
  expect(texts['upload size']).toContain('no more than 64.0 KiB')
})

test('a removed token, and a portal that is away, end with the exit codes of the commands that would fail', async () => {
  const { world, network } = await scene()
  await using _ = network
  network.rule = () => ({ withoutHeader: 'authorization' })
  const removed = await examined(world)
  expect([removed.code, removed.verdicts.token]).toEqual([4, 'bad'])
  expect(removed.texts.token).toContain('login=PASSTHRU')
  network.rule = () => ({ refuse: true })
  expect(await examined(world)).toMatchObject({ code: 5, verdicts: { way: 'bad' } })
})

test('a folder that is not writable, and a portal without a profile, are reported', async () => {
  const { world, network } = await scene()
  await using _ = network
  expect(await examined(world, '--into', world.path('nowhere'))).toMatchObject({ code: 2 })
  const stranger = await examined(world, network.url)
  expect(stranger).toMatchObject({ code: 0, verdicts: { portal: 'ok', account: 'note' } })
})
