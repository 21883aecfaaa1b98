/** Clients refuse plain http to other machines, and invalid certificates, before they send anything. */
import { mkdir, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { newToken } from '../../../src/protocol/index.ts'
import { AccountKeys } from '../../../src/trust/index.ts'
import { allowedMs } from '../../suites/bounds.ts'
import { httpServer } from '../../suites/http-server.ts'
import { World } from '../harness/world.ts'
import { Authority, type CertificateFiles } from './authority.ts'
import { joinByLink } from './joining.ts'

const invite = `gli_${'A'.repeat(43)}`
/** Much shorter than the answer timeout. */
const AT_ONCE_MS = 8_000

/** Writes profiles directly, so that they can contain any address. */
async function profile(world: World, name: string, portalUrl: string): Promise<void> {
  const folder = world.path('config', 'golooader', 'profiles')
  await mkdir(folder, { recursive: true })
  const { secret: keys } = await AccountKeys.generate()
  await writeFile(`${folder}/${name}.json`, JSON.stringify({ portalUrl, account: name, token: newToken(), keys }))
}

/** Every command that talks to a portal. */
async function commands(world: World, name: string, portalUrl: string): Promise<string[][]> {
  await profile(world, name, portalUrl)
  const path = await world.file('a.bin', 10)
  return [
    ['join', `${portalUrl}/join#${invite}`],
    ['send', path, '--to', 'bob', '--profile', name],
    ['receive', '--into', 'in', '--create', '--profile', name],
    ['status', '--profile', name],
    ['cancel', '01932c07-18f0-7b1c-9c3e-8b7e6f0a1d2c', '--profile', name],
  ]
}

test('plain http to another machine is refused at once, by every command', async () => {
  await using world = await World.create()
  for (const portalUrl of ['http://192.0.2.1:7878', 'http://portal.invalid/gl']) {
    for (const args of await commands(world, 'alice', portalUrl)) {
      // Neither an empty variable nor "no" counts as yes.
      for (const env of [{}, { GOLOOADER_INSECURE: '0' }, { GOLOOADER_INSECURE: '' }] as Record<string, string>[]) {
        if (args[0] !== 'status' && 'GOLOOADER_INSECURE' in env) continue
        const begunAtMs = performance.now()
        const { code, stderr } = await world.start(args, { env }).ended
        expect(performance.now() - begunAtMs, args.join(' ')).toBeLessThan(allowedMs(AT_ONCE_MS))
        expect(stderr, args.join(' ')).toContain(`${new URL(portalUrl).origin} is not encrypted`)
        expect(stderr, args.join(' ')).toMatch(/\(insecure-transport\)[\s\S]*https:\/\/[\s\S]*--insecure/)
        expect(code, args.join(' ')).toBe(2)
      }
    }
  }
})

test('with --insecure, or its variable, plain http is used', async () => {
  await using world = await World.create()
  await profile(world, 'alice', 'http://portal.invalid')
  const path = await world.file('a.bin', 10)
  const send = ['send', path, '--to', 'bob', '--profile', 'alice', '--answer-timeout', '3s']
  const byFlag = await world.run(...send, '--insecure')
  expect(byFlag, byFlag.stderr).toMatchObject({ code: 5 })
  expect(byFlag.stdout).toContain('portal.invalid')
  const byVariable = await world.start(send, { env: { GOLOOADER_INSECURE: '1' } }).ended
  expect(byVariable, byVariable.stderr).toMatchObject({ code: 5 })
  // The permission was for that one command.
  expect(await world.run(...send)).toMatchObject({ code: 2 })
})

test('plain http to this machine needs no flag, for every name of this machine', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join(['alice'])
  const { port } = new URL(world.portalUrl)
  for (const host of ['localhost', 'portal.localhost', '127.0.0.1']) {
    const env = { GOLOOADER_PORTAL: `http://${host}:${port}`, GOLOOADER_TOKEN: await world.token('alice') }
    const ended = await world.start(['status'], { env }).ended
    expect(ended, `${host}: ${ended.stderr}`).toMatchObject({ code: 0 })
  }
})

test('an invalid certificate is reported with its reason and advice, at once and by every command', async () => {
  await using world = await World.create()
  const authority = await Authority.create(world.path('tls'))
  const cases: readonly (readonly [CertificateFiles, Record<string, string>, RegExp])[] = [
    [await authority.selfSigned('self'), {}, /self-signed[\s\S]*NODE_EXTRA_CA_CERTS/],
    [await authority.certify('unknown', 1), {}, /authority that this machine does not know[\s\S]*NODE_EXTRA_CA_CERTS/],
    [
      await authority.certify('expired', 2, { days: -1 }),
      { NODE_EXTRA_CA_CERTS: authority.caPath },
      /expired[\s\S]*renew it[\s\S]*clock/,
    ],
    [
      await authority.certify('elsewhere', 3, { names: 'DNS:elsewhere.example' }),
      { NODE_EXTRA_CA_CERTS: authority.caPath },
      /another host[\s\S]*ERR_TLS_CERT_ALTNAME_INVALID/,
    ],
  ]
  for (const [index, [{ certPath, keyPath }, env, message]] of cases.entries()) {
    const portal = await world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
    const all = await commands(world, 'alice', world.portalUrl)
    for (const args of index === 0 ? all : all.slice(0, 2)) {
      const begunAtMs = performance.now()
      const { code, stderr } = await world.start(args, { env }).ended
      expect(performance.now() - begunAtMs, args.join(' ')).toBeLessThan(allowedMs(AT_ONCE_MS))
      expect(stderr, args.join(' ')).toMatch(/127\.0\.0\.1 .*is not trusted/)
      expect(stderr, args.join(' ')).toMatch(message)
      expect(stderr, args.join(' ')).toContain('(certificate-invalid)')
      expect(code, args.join(' ')).toBe(4)
    }
    await portal.stop()
  }
})

test('a certificate that becomes invalid ends both sides without loss: they continue later', async () => {
  await using world = await World.create()
  const authority = await Authority.create(world.path('tls'))
  world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  const good = await authority.certify('good', 1)
  const expired = await authority.certify('expired', 2, { days: -1 })
  const portalWith = ({ certPath, keyPath }: CertificateFiles) =>
    world.portal(['--tls-cert', certPath, '--tls-key', keyPath])
  let portal = await portalWith(good)
  await joinByLink(world, 'alice', 'bob')
  const bob = await world.receiver('bob')
  const path = await world.file('a.bin', 64 * 1024 * 1024)
  const args = ['--part-size', '1MiB', '--parts-in-flight', '1']
  const sending = world.send(path, 'bob', ...args)
  await sending.object((value) => value.phase === 'uploading' && Number(value.acknowledgedBytes) > 4 * 1024 * 1024)
  await portal.stop('SIGKILL')
  portal = await portalWith(expired)
  for (const ended of [await sending.ended, await bob.ended]) {
    expect(ended, ended.stderr).toMatchObject({ code: 4 })
    expect(ended.stderr).toMatch(/expired[\s\S]*\(certificate-invalid\)/)
  }
  await portal.stop()
  await portalWith(good)
  await world.receiver('bob')
  const again = world.send(path, 'bob', ...args)
  expect(await again.ended).toMatchObject({ code: 0 })
  expect(again.json.find((value) => value.phase === 'started')).toMatchObject({ isResumed: true })
})

test('a redirect is not followed: the token is sent to no other server', async () => {
  await using world = await World.create()
  const strangers: string[] = []
  const stranger = await httpServer((request, response) => {
    strangers.push(`${request.method} ${request.url}`)
    response.end('{}')
  })
  const asked: (string | undefined)[] = []
  const redirecting = await httpServer((request, response) => {
    asked.push(request.headers.authorization)
    response.writeHead(307, { location: stranger.url + (request.url ?? '') }).end()
  })
  await profile(world, 'alice', redirecting.url)
  const path = await world.file('a.bin', 10)
  const { code, stdout } = await world.send(path, 'bob', '--answer-timeout', '500ms').ended
  expect(code).toBe(5)
  expect(stdout).toContain('HTTP status 307')
  expect(asked.length).toBeGreaterThan(0)
  expect(strangers).toEqual([])
})
