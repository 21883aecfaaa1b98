/** The system's certificate store: an organisation installs its own authority there, and clients trust it without further settings. */
import { expect, test } from 'vitest'
import { World } from '../harness/world.ts'
import { Authority } from './authority.ts'
import { installedStore } from './installed-store.ts'
import { joinByLink } from './joining.ts'

async function aWorld(): Promise<{ world: World; authority: Authority }> {
  const world = await World.create()
  const authority = await Authority.create(world.path('tls'))
  const { certPath, keyPath } = await authority.certify('portal', 1)
  await world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
  return { world, authority }
}

test('an authority in the store is trusted: files are delivered, and doctor says where the trust comes from', async () => {
  const { world, authority } = await aWorld()
  Object.assign(world.env, await installedStore(authority, world.path('system')))
  await joinByLink(world, 'alice', 'bob')
  const bob = await world.receiver('bob')
  const ended = await world.send(await world.file('a.bin', 20 * 1024 * 1024), 'bob').ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  await bob.stop()
  const { stdout } = await world.run('doctor', '--profile', 'alice')
  expect(stdout).toMatch(/✔ tls: .* trusted by the system's certificate store/)
})

test('with --no-system-ca, and without the authority in the store, the certificate is refused', async () => {
  const { world, authority } = await aWorld()
  const env = await installedStore(authority, world.path('system'))
  Object.assign(world.env, env)
  await joinByLink(world, 'alice')
  const refused = {
    code: 4,
    stderr: expect.stringMatching(
      /authority that this machine does not know[\s\S]*add its certificate to the system's store/,
    ),
  }
  expect(await world.run('status', '--no-system-ca')).toMatchObject(refused)
  expect(await world.start(['status'], { env: { GOLOOADER_NO_SYSTEM_CA: '1' } }).ended).toMatchObject(refused)
  const own = { NODE_EXTRA_CA_CERTS: authority.caPath }
  expect(await world.start(['status', '--no-system-ca'], { env: own }).ended).toMatchObject({ code: 0 })
  for (const name of Object.keys(env)) delete world.env[name]
  expect(await world.run('status')).toMatchObject(refused)
})
