/** TLS between a portal and its PostgreSQL and S3: with valid and with invalid certificates. */
import { chmod, chown, copyFile, readFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { dirname } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { idsOf, ownPostgres, psql } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { World } from '../harness/world.ts'
import { Authority, type CertificateFiles } from './authority.ts'

/** A PostgreSQL with TLS, which reads its files as its own user. */
async function securePostgres(world: World, files: CertificateFiles) {
  const place = { certPath: world.path('database.pem'), keyPath: world.path('database.key') }
  await copyFile(files.certPath, place.certPath)
  await copyFile(files.keyPath, place.keyPath)
  await chmod(dirname(place.keyPath), 0o711)
  await chmod(place.keyPath, 0o600)
  if (process.getuid?.() === 0) {
    const { uid, gid } = await idsOf('postgres')
    for (const path of [place.certPath, place.keyPath]) await chown(path, uid, gid)
  }
  const server = await ownPostgres({ ssl: 'on', ssl_cert_file: place.certPath, ssl_key_file: place.keyPath })
  onTestFinished(() => server[Symbol.asyncDispose]())
  const url = (await server.database()).url
  return { url, secureUrl: `${url}?sslmode=verify-full` }
}

/** The connection settings for a server with TLS. */
async function secureWay(serverPort: number, files: CertificateFiles) {
  const server: Server = createServer(await contextOf(files), (client) => {
    const upstream = connect(serverPort, '127.0.0.1')
    client.on('error', () => upstream.destroy()).pipe(upstream)
    upstream.on('error', () => client.destroy()).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function contextOf({ certPath, keyPath }: CertificateFiles) {
  const [cert, key] = await Promise.all([readFile(certPath), readFile(keyPath)])
  return { cert, key }
}

/** The certificate of the server, the authorities that the portal trusts, and the expected message. */
const wrong = [
  ['of an authority that nobody named', 'good', false, /authority[^\n]*NODE_EXTRA_CA_CERTS=ca\.pem \(\w+\)/],
  ['that is for another host', 'other', true, /it is for another host[^\n]*\(ERR_TLS_CERT_ALTNAME_INVALID\)/],
  ['that has expired', 'expired', true, /it has expired[^\n]*\(CERT_HAS_EXPIRED\)/],
  ['that only vouches for itself', 'own', true, /it is self-signed[^\n]*\(DEPTH_ZERO_SELF_SIGNED_CERT\)/],
] as const

async function certificates(world: World) {
  const authority = await Authority.create(world.path('tls'))
  const [good, other, expired, own] = [
    await authority.certify('good', 1),
    await authority.certify('other', 2, { names: 'DNS:other.example' }),
    await authority.certify('expired', 3, { days: -1 }),
    await authority.selfSigned('own'),
  ]
  return { caPath: authority.caPath, good, other, expired, own }
}

test('a file is delivered by a portal that uses PostgreSQL and S3 over TLS and checks their certificates', async () => {
  await using world = await World.create()
  const { caPath, good } = await certificates(world)
  const postgres = await securePostgres(world, good)
  const { endpoint, bucket, region, env } = await testBucket()
  const s3 = await secureWay(Number(new URL(endpoint).port), good)
  const store = `s3://${bucket}?endpoint=${s3.url}&region=${region}`
  world.databaseUrl = postgres.url
  const secrets = { ...env, NODE_EXTRA_CA_CERTS: caPath }
  await world.portal(['--database', postgres.secureUrl, '--store', store], { env: secrets })
  await world.join(['alice', 'bob'])
  const unencrypted = await psql(
    postgres.url,
    "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) where application_name like 'golooader%' and not ssl",
  )
  expect(unencrypted).toBe('0')
  await world.receiver('bob')
  const sent = await world.send(await world.file('plan.bin', 3_000_000), 'bob').ended
  expect(sent, sent.stderr).toMatchObject({ code: 0 })
  expect(await world.received('bob')).toEqual(['plan.bin'])
})

test.each(wrong)('PostgreSQL with a certificate %s ends the start, and the message says so', async (...given) => {
  const [, shown, knowsAuthority, says] = given
  await using world = await World.create()
  const files = await certificates(world)
  const postgres = await securePostgres(world, files[shown])
  const env = knowsAuthority ? { NODE_EXTRA_CA_CERTS: files.caPath } : {}
  const args = ['portal', '--listen', '127.0.0.1:0', '--data', world.dataFolder, '--database', postgres.secureUrl]
  const { code, stderr } = await world.start(args, { env }).ended
  expect(stderr).toMatch(says)
  expect(stderr).toMatch(/\(ledger-unusable\)\n$/)
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(code).toBe(2)
})

test.each(wrong)('S3 with a certificate %s ends the start, and the message says so', async (...given) => {
  const [, shown, knowsAuthority, says] = given
  await using world = await World.create()
  const files = await certificates(world)
  const { endpoint, bucket, region, env } = await testBucket()
  const s3 = await secureWay(Number(new URL(endpoint).port), files[shown])
  const store = `s3://${bucket}?endpoint=${s3.url}&region=${region}`
  const secrets = { ...env, ...(knowsAuthority ? { NODE_EXTRA_CA_CERTS: files.caPath } : {}) }
  const args = ['portal', '--listen', '127.0.0.1:0', '--data', world.dataFolder, '--store', store]
  const { code, stderr } = await world.start(args, { env: secrets }).ended
  expect(stderr).toMatch(says)
  expect(stderr).toMatch(/\(storage-unusable\)\n$/)
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(code).toBe(2)
})
