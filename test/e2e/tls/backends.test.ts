/** TLS between a portal and its PostgreSQL and S3: with valid and with invalid certificates. */
import { chmod, chown, copyFile, readFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { dirname } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { expect, onTestFinished, test } from 'vitest'
import { idsOf, ownPostgres, type PostgresSettings, psql } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { World } from '../harness/world.ts'
import { Authority, type CertificateFiles } from './authority.ts'
import { installedStore } from './installed-store.ts'

/** A PostgreSQL with TLS, which reads its files as its own user. */
async function securePostgres(world: World, files: CertificateFiles, settings: PostgresSettings = {}) {
  const place = { certPath: world.path('database.pem'), keyPath: world.path('database.key') }
  await copyFile(files.certPath, place.certPath)
  await copyFile(files.keyPath, place.keyPath)
  await chmod(dirname(place.keyPath), 0o711)
  await chmod(place.keyPath, 0o600)
  if (process.getuid?.() === 0) {
    const { uid, gid } = await idsOf('postgres')
    for (const path of [place.certPath, place.keyPath]) await chown(path, uid, gid)
  }
  const secure = { ssl: 'on', ssl_cert_file: place.certPath, ssl_key_file: place.keyPath }
  const server = await ownPostgres({ ...secure, ...settings })
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
  return { authority, caPath: authority.caPath, good, other, expired, own }
}

test.each([
  ['that is named', async ({ caPath }: Authority) => ({ NODE_EXTRA_CA_CERTS: caPath })],
  [
    "in the system's store",
    async (authority: Authority, world: World) => installedStore(authority, world.path('system')),
  ],
])('a file is delivered by a portal with PostgreSQL and S3 over TLS, by an authority %s', async (_, trust) => {
  await using world = await World.create()
  const { authority, good } = await certificates(world)
  const postgres = await securePostgres(world, good)
  const { endpoint, bucket, region, env } = await testBucket()
  const s3 = await secureWay(Number(new URL(endpoint).port), good)
  const store = `s3://${bucket}?endpoint=${s3.url}&region=${region}`
  world.databaseUrl = postgres.url
  const secrets = { ...env, ...(await trust(authority, world)) }
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

test("a database that wants a certificate of the portal gets it, and is verified by an authority in the system's store", async () => {
  await using world = await World.create()
  const { authority, caPath, good } = await certificates(world)
  await chmod(dirname(dirname(caPath)), 0o711)
  const { url } = await securePostgres(world, good, { ssl_ca_file: caPath })
  const own = await authority.certify('owner', 4)
  const rules = [
    'hostssl all owner 127.0.0.1/32 trust clientcert=verify-ca',
    'hostnossl all postgres 127.0.0.1/32 trust',
  ]
  await psql(url, 'create role owner superuser login')
  const path = await psql(url, 'show hba_file')
  await psql(url, `copy (values ${rules.map((rule) => `('${rule}')`).join(', ')}) to '${path}'`)
  await psql(url, 'select pg_reload_conf()')
  const secureUrl = `${url.replace('postgres@', 'owner@')}?sslmode=verify-full`
  const withOwn = `${secureUrl}&sslcert=${own.certPath}&sslkey=${own.keyPath}`
  const env = await installedStore(authority, world.path('system'))
  const invite = ['invite', 'alice', '--database']
  await world.portal(['--database', withOwn], { env })
  expect(await world.start([...invite, withOwn], { env }).ended).toMatchObject({ code: 0 })
  const without = await world.start([...invite, secureUrl], { env }).ended
  expect(without).toMatchObject({ code: 2, stderr: expect.stringContaining('requires a valid client certificate') })
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
