/**
 * The links that `invite` and `accounts rotate` print contain an address of the portal. Without one, the commands
 * create no link.
 */
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { join } from '../../../src/portal/accounts/accounts.ts'
import { invite, openLedger } from '../../../src/portal/index.ts'
import { newToken } from '../../../src/protocol/index.ts'
import { World } from '../harness/world.ts'

const NO_ADDRESS = /address of this portal is not known yet[\s\S]*--public-url/

test('before the portal has listened for the first time, a link is created only with a given address', async () => {
  await using world = await World.create()
  // The portal creates its ledger and then fails to listen, because another program has the port.
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
  // The failed commands changed nothing: bob has no open invite, and carol has no link.
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
