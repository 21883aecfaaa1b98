/** The portal's own TLS: a whole delivery, a certificate that is renewed while the portal runs, and unusable files. */
import { chmod, copyFile, writeFile } from 'node:fs/promises'
import { connect as connectPlain } from 'node:net'
import { connect } from 'node:tls'
import { expect, test } from 'vitest'
import { allowedMs } from '../../suites/bounds.ts'
import { type Running, sha256Of, until, World } from '../harness/world.ts'
import { Authority, type CertificateFiles, replaceCertificate, servedSerial } from './authority.ts'
import { joinByLink } from './joining.ts'

const MIB = 1024 * 1024

/** A portal with TLS, in a world whose commands trust its authority. */
async function secureWorld(world: World): Promise<{ authority: Authority; files: CertificateFiles; portal: Running }> {
  const authority = await Authority.create(world.path('tls'))
  world.env.NODE_EXTRA_CA_CERTS = authority.caPath
  const files = await authority.certify('server', 1001)
  const portal = await world.portal(['--tls-cert', files.certPath, '--tls-key', files.keyPath, '--log-level', 'info'])
  expect(world.portalUrl).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
  return { authority, files, portal }
}

test('a file is delivered over TLS, and the certificate is renewed meanwhile', async () => {
  await using world = await World.create()
  const { authority, files, portal } = await secureWorld(world)
  await joinByLink(world, 'alice', 'bob')
  const bob = await world.receiver('bob')
  const path = await world.file('report.bin', 96 * MIB)
  expect(await servedSerial(world.portalUrl)).toBe(1001)

  const sending = world.send(path, 'bob', '--part-size', '1MiB', '--parts-in-flight', '1')
  await sending.object((value) => value.phase === 'uploading' && Number(value.acknowledgedBytes) > MIB)
  await replaceCertificate(files, await authority.certify('renewed', 1002))
  portal.signal('SIGHUP')
  await until(async () => (await servedSerial(world.portalUrl)) === 1002, 'the new certificate is served')
  expect(
    sending.json.some((value) => value.notification === 'stored'),
    'otherwise this shows nothing',
  ).toBe(false)

  const ended = await sending.ended
  expect(ended, ended.stderr).toMatchObject({ code: 0 })
  expect(sending.json.filter((value) => value.phase === 'silence')).toEqual([])
  expect(await sha256Of(`${world.inbox('bob')}/report.bin`)).toBe(await sha256Of(path))
  expect(bob.json.filter((value) => value.type === 'disconnected')).toEqual([])

  const status = await world.run('status', '--profile', 'alice')
  expect(status.stdout).toContain('report.bin to bob: delivered')
  expect(await portal.stop()).toMatchObject({ code: 0 })
})

test('broken certificate files are reported in the log when they are reloaded, and the old certificate stays', async () => {
  await using world = await World.create()
  const { authority, files, portal } = await secureWorld(world)
  const other = await authority.certify('other', 1003)
  const errors = (): number => portal.stderr.split('the old one stays in use').length - 1

  await copyFile(other.keyPath, files.keyPath)
  portal.signal('SIGHUP')
  await until(() => errors() === 1, 'the mismatch is logged')
  expect(portal.stderr).toContain(`${files.keyPath} is not the key of the first certificate in ${files.certPath}`)
  expect(await servedSerial(world.portalUrl)).toBe(1001)

  await writeFile(files.certPath, 'nonsense')
  portal.signal('SIGHUP')
  await until(() => errors() === 2, 'the broken file is logged')
  expect(portal.stderr).toContain(`${files.certPath} is no certificate in PEM form`)
  expect(await servedSerial(world.portalUrl)).toBe(1001)

  await replaceCertificate(files, other)
  portal.signal('SIGHUP')
  await until(async () => (await servedSerial(world.portalUrl)) === 1003, 'a whole pair is taken')
})

test('a portal does not start with unusable settings, and says what is wrong', async () => {
  await using world = await World.create()
  const authority = await Authority.create(world.path('tls'))
  const good = await authority.certify('good', 1)
  const other = await authority.certify('other', 2)
  await writeFile(world.path('nonsense.pem'), 'nonsense')
  await chmod(world.path('nonsense.pem'), 0o600)
  const cases: readonly (readonly [args: readonly string[], message: RegExp])[] = [
    [['--tls-cert', good.certPath], /--tls-cert and --tls-key belong together/],
    [['--tls-key', good.keyPath], /--tls-cert and --tls-key belong together/],
    [['--tls-cert', world.path('none.pem'), '--tls-key', good.keyPath], /none\.pem is not there/],
    [['--tls-cert', good.certPath, '--tls-key', world.folder], /cannot be read: EISDIR/],
    [['--tls-cert', world.path('nonsense.pem'), '--tls-key', good.keyPath], /nonsense\.pem is no certificate in PEM/],
    [['--tls-cert', good.certPath, '--tls-key', world.path('nonsense.pem')], /nonsense\.pem is no private key in PEM/],
    [['--tls-cert', good.certPath, '--tls-key', other.keyPath], /other\.key is not the key of .*good\.pem/],
    [['--trusted-proxies', '127.0.0.1,10.0.0.0/33'], /'10\.0\.0\.0\/33' is neither an address nor a network/],
    [['--trusted-proxies', 'proxy.example'], /'proxy\.example' is neither an address nor a network/],
    [['--public-url', 'https://files.example/gl?a=b'], /plain address/],
  ]
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await world.run('portal', '--listen', '127.0.0.1:0', ...args)
    expect(stderr, args.join(' ')).toMatch(message)
    expect(stderr, args.join(' ')).not.toMatch(/this is a bug|\n\s+at /)
    expect({ code, stdout: stdout.trim() }, args.join(' ')).toEqual({ code: 2, stdout: '' })
  }
})

test('SIGHUP does not end a portal without TLS, which has nothing to reload', async () => {
  await using world = await World.create()
  const portal = await world.portal(['--log-level', 'info'])
  portal.signal('SIGHUP')
  await until(() => portal.stderr.includes('nothing to reload'), 'it says so')
  await world.join(['alice'])
  expect(await portal.stop()).toMatchObject({ code: 0 })
})

test('older versions of TLS than 1.2 are refused', async () => {
  await using world = await World.create()
  // This holds even on a machine where Node and OpenSSL would accept them.
  world.env.NODE_OPTIONS = '--tls-min-v1.0 --tls-cipher-list=DEFAULT@SECLEVEL=0'
  await secureWorld(world)
  const { hostname, port } = new URL(world.portalUrl)
  const protocolWith = (maxVersion: 'TLSv1.1' | 'TLSv1.2'): Promise<string> =>
    new Promise((resolve) => {
      const options = { minVersion: 'TLSv1', maxVersion, ciphers: 'DEFAULT@SECLEVEL=0' } as const
      const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false, ...options })
      socket.once('secureConnect', () => resolve(socket.getProtocol() ?? '')).once('error', () => resolve('refused'))
      socket.once('close', () => socket.destroy())
    })
  expect(await protocolWith('TLSv1.2')).toBe('TLSv1.2')
  expect(await protocolWith('TLSv1.1')).toBe('refused')
})

test('a handshake that never completes is cut, and does not keep the portal from stopping', async () => {
  await using world = await World.create()
  const { portal } = await secureWorld(world)
  const { hostname, port } = new URL(world.portalUrl)
  const open = () => {
    const socket = connectPlain(Number(port), hostname).on('error', () => {})
    return { socket, closed: new Promise<void>((resolve) => socket.resume().once('close', () => resolve())) }
  }
  const [silent, dribbling, plain] = [open(), open(), open()]
  plain.socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n')
  // The beginning of a record that announces more than is ever sent.
  const timer = setInterval(() => dribbling.socket.writable && dribbling.socket.write('\x16'), 500)
  dribbling.socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]))
  const begunAtMs = performance.now()
  await plain.closed
  expect(performance.now() - begunAtMs).toBeLessThan(allowedMs(2_000))
  // Slow headers over TLS have the same time limit as those of plain HTTP.
  const secure = connect({ host: hostname, port: Number(port), rejectUnauthorized: false })
  let text = ''
  secure.on('data', (bytes) => {
    text += bytes
  })
  secure.write('GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ')
  const slow = setInterval(() => secure.writable && secure.write('x'), 500)
  await new Promise<void>((resolve) => secure.once('close', () => resolve()))
  clearInterval(slow)
  expect(text).toContain('HTTP/1.1 408')
  await Promise.all([silent.closed, dribbling.closed])
  clearInterval(timer)
  expect(performance.now() - begunAtMs).toBeLessThan(allowedMs(20_000))

  const late = open()
  await new Promise<void>((resolve) => late.socket.once('connect', () => resolve()))
  const stoppedAtMs = performance.now()
  expect(await portal.stop()).toMatchObject({ code: 0 })
  expect(performance.now() - stoppedAtMs).toBeLessThan(allowedMs(8_000))
})

test('a portal that others can reach without TLS warns about it, and one that they cannot reach does not', async () => {
  await using world = await World.create()
  const warns = async (...args: string[]): Promise<boolean> => {
    const portal = world.start(['portal', '--data', world.dataFolder, ...args])
    await portal.line((one) => one.startsWith('portal listening on '))
    const { code, stderr } = await portal.stop()
    expect(code).toBe(0)
    return /warning: other machines can reach this portal without TLS/.test(stderr)
  }
  const { certPath, keyPath } = await (await Authority.create(world.path('tls'))).certify('server', 1)
  expect(await warns('--listen', '0.0.0.0:0')).toBe(true)
  expect(await warns('--listen', '[::]:0', '--public-url', 'http://files.example')).toBe(true)
  expect(await warns('--listen', '0.0.0.0:0', '--public-url', 'https://files.example/gl')).toBe(false)
  expect(await warns('--listen', '0.0.0.0:0', '--tls-cert', certPath, '--tls-key', keyPath)).toBe(false)
  expect(await warns('--listen', 'localhost:0')).toBe(false)
})
