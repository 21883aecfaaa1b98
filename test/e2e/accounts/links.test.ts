/** The links of `invite` and `accounts rotate` name an address that the portal has, or no link is made. */
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { join } from '../../../src/portal/accounts/accounts.ts'
import { invite, openLedger } from '../../../src/portal/index.ts'
import { newToken } from '../../../src/protocol/index.ts'
import { World } from '../harness/world.ts'

const NO_ADDRESS = /address of this portal is not known yet[\s\S]*--public-url/

test('before the portal has ever listened a link is made for an address that is given, and for no other', async () => {
  await using world = await World.create()
  // The portal makes its ledger, and then cannot listen: another program has the port.
  await using other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const { port } = other.address() as { port: number }
  const never = await world.run('portal', '--listen', `127.0.0.1:${port}`, '--data', world.dataFolder)
  expect(never.stderr).toContain('is in use')
  const ledger = await openLedger(world)
  await join(ledger, { invite: await invite(ledger, 'carol', 60_000), token: newToken() })
  await ledger.close()

  const data = ['--data', world.dataFolder]
  const commands = [
    ['invite', 'bob', ...data],
    ['accounts', 'rotate', 'carol', ...data],
  ]
  for (const args of commands) {
    const { code, stdout, stderr } = await world.run(...args)
    expect({ code, stdout: stdout.trim() }, stderr).toEqual({ code: 2, stdout: '' })
    expect(stderr).toMatch(NO_ADDRESS)
  }
  // The refused commands have left nothing behind: no open invite for bob, no link for carol.
  const { stdout } = await world.run('accounts', ...data, '--json')
  expect(JSON.parse(stdout)).toMatchObject({ account: 'carol', state: 'active', linkUntil: null })

  for (const args of commands) {
    const given = await world.run(...args, '--public-url', 'https://files.example/gl')
    expect(given.stdout).toMatch(/^https:\/\/files\.example\/gl\/join#gli_/)
  }

  await world.portal()
  const known = await world.run('invite', 'dave', ...data)
  expect(known.stdout.startsWith(`${world.portalUrl}/join#gli_`), known.stdout).toBe(true)
})
