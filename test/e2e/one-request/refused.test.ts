/** A refused upload costs as little as possible, leaves nothing at the portal, and makes curl fail. */
import { createReadStream } from 'node:fs'
import { expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { until } from '../harness/world.ts'
import { curl, handWorld, MIB, outcome, relayTo } from './curl.ts'

const HEAD_BYTES_MAX = 2048

/** By itself, curl sends the body when no answer has come within a second, which a busy machine may need. */
const PATIENTLY = ['--expect100-timeout', '600'] as const

test('a refusal costs no upload: curl sends no byte of the file', async () => {
  const { world, authorization } = await handWorld(['--max-transfer', '30MiB', '--quota', '25MiB'])
  const relay = await relayTo(world.portalUrl)
  const path = await world.file('large.bin', 28 * MIB)
  const tooLarge = await world.file('too-large.bin', 31 * MIB)
  const refusals: [file: string, to: string, header: string, status: number, line: RegExp][] = [
    [path, 'nobody/x', authorization, 404, /^refused: receiver-unknown: /],
    [path, 'bob/x', 'Authorization: Bearer none', 401, /^refused: credentials-invalid: /],
    [tooLarge, 'bob/x', authorization, 413, /^refused: transfer-too-large: /],
    [path, 'bob/x', authorization, 507, /^refused: storage-full: .*needs 28\.0 MiB, the limit is 25\.0 MiB$/],
  ]
  for (const [file, to, header, expected, line] of refusals) {
    const before = relay.bytes()
    const { status, lines } = await outcome(curl(...PATIENTLY, '-T', file, '-H', header, `${relay.url}/v1/to/${to}`))
    expect(status).toBe(expected)
    expect(lines).toEqual([expect.stringMatching(line)])
    expect(relay.bytes() - before).toBeLessThan(HEAD_BYTES_MAX)
  }
  const small = await world.file('small.bin', 100_000)
  const before = relay.bytes()
  const asking = curl(
    ...PATIENTLY,
    '-T',
    small,
    '-H',
    authorization,
    '-H',
    'Expect: 100-continue',
    `${relay.url}/v1/to/nobody/x`,
  )
  expect((await outcome(asking)).status).toBe(404)
  expect(relay.bytes() - before).toBeLessThan(HEAD_BYTES_MAX)
})

test('for other requests, too, the portal asks for the body only once it knows the token', async () => {
  const { world, authorization } = await handWorld()
  const relay = await relayTo(world.portalUrl)
  const path = await world.file('part.bin', 4 * MIB)
  const url = `${relay.url}/v1/transfers/${newTransferId()}/parts/1`
  const { status } = await outcome(curl(...PATIENTLY, '-T', path, '-H', 'Authorization: Bearer none', url))
  expect(status).toBe(401)
  expect(relay.bytes()).toBeLessThan(HEAD_BYTES_MAX)
  expect((await outcome(curl('-T', path, '-H', authorization, url))).status).toBe(404)
})

test('curl --fail fails when it is refused', async () => {
  const { world, send } = await handWorld()
  const path = await world.file('report.pdf', 10)
  expect((await send(path, 'nobody/x', '--fail').ended).code).toBe(22)
  expect((await send(path, 'bob/x', '--fail', '-H', 'Prefer: wait=0').ended).code).toBe(0)
})

test('a client that sends without asking, and is refused, can read the reason and stops', async () => {
  const { world, send } = await handWorld()
  const path = await world.file('large.bin', 64 * MIB)
  const { status, sentBytes, lines } = await outcome(send(path, 'nobody/x', '-H', 'Expect:'))
  expect(status).toBe(404)
  expect(lines).toEqual([expect.stringMatching(/^refused: receiver-unknown: /)])
  expect(sentBytes).toBeLessThan(32 * MIB)
})

test('a pipe that exceeds the limit is refused during the upload, and nothing of it is kept', async () => {
  const { world, send } = await handWorld(['--max-transfer', '20MiB'])
  const path = await world.file('large.bin', 40 * MIB)
  const sending = send('-', 'bob/x')
  if (sending.child.stdin !== null) createReadStream(path).pipe(sending.child.stdin)
  const { status, sentBytes, lines } = await outcome(sending)
  expect(status).toBe(413)
  expect(lines).toEqual([expect.stringMatching(/^refused: transfer-too-large: /)])
  expect(sentBytes).toBeLessThan(40 * MIB)
  expect(await world.stored()).toEqual([])
})

test('a file that does not match its digest is not kept, and its receiver deletes what it has', async () => {
  const { world, send } = await handWorld()
  const bob = await world.receiver('bob')
  const path = await world.file('report.pdf', 20 * MIB)
  const digest = `Repr-Digest: sha-256=:${Buffer.alloc(32).toString('base64')}:`
  const { status, lines } = await outcome(send(path, 'bob/report.pdf', '-H', digest))
  expect(status).toBe(400)
  expect(lines).toEqual([expect.stringMatching(/^resend: digest-mismatching-value: /)])
  expect(await bob.object((line) => line.type === 'withdrawn')).toMatchObject({
    problem: { code: 'digest-mismatching-value' },
  })
  expect(await world.received('bob')).toEqual([])
  await until(async () => (await world.stored()).length === 0, 'nothing of it lies in the store')
})

test('a portal for sealed files only refuses curl before the upload', async () => {
  const { world, send } = await handWorld(['--sealed-only'])
  const path = await world.file('report.pdf', 20 * MIB)
  const { status, sentBytes, lines } = await outcome(send(path, 'bob/report.pdf'))
  expect(status).toBe(403)
  expect(sentBytes).toBe(0)
  expect(lines).toEqual(['refused: sealing-required: This portal accepts only sealed (end-to-end encrypted) transfers'])
})

test('an idempotency key that another account used is a conflict', async () => {
  const { world, send } = await handWorld()
  await world.join(['mallory'], {}, { hasKeys: false })
  const path = await world.file('report.pdf', 3 * MIB)
  const key = `Idempotency-Key: ${newTransferId()}`
  expect((await outcome(send(path, 'bob/x', '-H', key, '-H', 'Prefer: wait=0'))).status).toBe(200)
  const mallory = `Authorization: Bearer ${await world.token('mallory')}`
  const asking = curl('-T', path, '-H', mallory, '-H', key, `${world.portalUrl}/v1/to/bob/x`)
  const { status, sentBytes } = await outcome(asking)
  expect(status).toBe(409)
  expect(sentBytes).toBe(0)
})

test('a receiver that knows keys of the sender refuses an unsigned file', async () => {
  const { world } = await handWorld([], ['bob', 'dora'])
  await world.receiver('bob')
  const path = await world.file('report.pdf', 10)
  const dora = `Authorization: Bearer ${await world.token('dora')}`
  const { lines } = await outcome(curl('-T', path, '-H', dora, `${world.portalUrl}/v1/to/bob/report.pdf`))
  expect(lines[1]).toMatch(/^failed bob: signature-missing: /)
})
