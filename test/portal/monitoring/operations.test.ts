/** Operators read health and metrics, and clients read limits and `/openapi.json`. */
import pino from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { fastDigestAlgorithms } from '../../../src/digests/index.ts'
import { startPortal } from '../../../src/portal/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { Gate } from '../../servers/gate.ts'
import { testDatabase } from '../../servers/postgres.ts'
import { testBucket } from '../../servers/radosgw.ts'
import { manifestDigest, partSizeBytes, TestPortal } from '../portal.ts'

test('the OpenAPI description contains every request of the protocol', async () => {
  const portal = await TestPortal.start()
  const { status, body } = await portal.ask('GET', '/openapi.json')
  expect(status).toBe(200)
  const description: {
    openapi: string
    info: { title: string; version: string }
    paths: Record<
      string,
      Record<string, { summary?: string; responses?: object; parameters?: { name: string; in: string }[] }>
    >
  } = JSON.parse(body.toString())
  expect(description.openapi).toMatch(/^3\.1\./)
  const requests = Object.entries(description.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  )
  expect(requests.filter((one) => !one.startsWith('HEAD')).sort()).toEqual(
    [
      'GET /healthz',
      'GET /readyz',
      'GET /metrics',
      'GET /openapi.json',
      'GET /v1/limits',
      'POST /v1/invite',
      'POST /v1/join',
      'POST /v1/proof',
      'GET /v1/account',
      'PUT /v1/account/keys',
      'GET /v1/accounts/{name}',
      'PUT /v1/transfers/{transferId}',
      'GET /v1/transfers',
      'GET /v1/transfers/{transferId}',
      'DELETE /v1/transfers/{transferId}',
      'POST /v1/transfers/{transferId}/complete',
      'PUT /v1/transfers/{transferId}/parts/{partNumber}',
      'PUT /v1/transfers/{transferId}/whole',
      'POST /v1/transfers/batch',
      'POST /v1/inbox/dispositions',
      'POST /v1/to/{receivers}/{name}',
      'PUT /v1/to/{receivers}/{name}',
      'OPTIONS /v1/to/{receivers}/{name}',
      'GET /v1/uploads/{secret}',
      'OPTIONS /v1/uploads/{secret}',
      'PATCH /v1/uploads/{secret}',
      'DELETE /v1/uploads/{secret}',
      'OPTIONS /v1/tus',
      'POST /v1/tus',
      'GET /v1/tus/{secret}',
      'PATCH /v1/tus/{secret}',
      'DELETE /v1/tus/{secret}',
      'GET /v1/events',
      'GET /v1/transfers/{transferId}/events',
      'GET /v1/deliveries',
      'GET /v1/operations',
      'POST /v1/guests',
      'POST /v1/requests',
      'GET /v1/requests',
      'DELETE /v1/requests/{requestId}',
      'POST /v1/requests/look',
      'POST /v1/requests/join',
      'POST /v1/webhooks',
      'GET /v1/webhooks',
      'DELETE /v1/webhooks/{webhookId}',
      'POST /v1/webhooks/{webhookId}/test',
      'GET /v1/webhooks/{webhookId}/messages',
      'GET /v1/inbox',
      'GET /v1/inbox/{transferId}',
      'GET /v1/inbox/{transferId}/parts/{partNumber}',
      'POST /v1/inbox/{transferId}/disposition',
    ].sort(),
  )
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, { summary, responses, parameters = [] }] of Object.entries(methods)) {
      expect(summary, `${method} ${path}`).toBeTruthy()
      expect(responses).toBeTypeOf('object')
      const named = parameters.filter((one) => one.in === 'path').map(({ name }) => `{${name}}`)
      expect(named.sort()).toEqual((path.match(/\{\w+\}/g) ?? []).sort())
    }
  }
  // The document contains every schema that it refers to.
  for (const [, name = ''] of body.toString().matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
    expect(body.toString()).toContain(`"${name}":`)
  }
})

test('the metrics follow the events', async () => {
  const portal = await TestPortal.start()
  const figure = async (name: string): Promise<number> => {
    const { headers, body } = await portal.ask('GET', '/metrics')
    expect(headers['content-type']).toMatch(/^text\/plain; version=/)
    const line = body
      .toString()
      .split('\n')
      .find((one) => one.startsWith(`${name} `))
    return Number(line?.slice(name.length + 1) ?? 0)
  }
  const content = Buffer.alloc(partSizeBytes + 1, 'counted ')
  const transferId = await portal.store(content)
  expect(await figure('golooader_open_transfers')).toBe(1)
  expect(await figure('golooader_open_bytes')).toBe(content.length)
  expect(await figure('golooader_part_bytes_total{direction="in"}')).toBe(content.length)
  expect(await figure('golooader_notifications_total{notification="stored"}')).toBe(1)

  const { leaseId } = await portal.offerOf(transferId)
  await portal.ask('GET', `/v1/inbox/${transferId}/parts/2?lease=${leaseId}`, { token: portal.token('bob') })
  await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest: manifestDigest(content) })
  await portal.ask('GET', '/v1/account')
  expect(await figure('golooader_part_bytes_total{direction="out"}')).toBe(1)
  expect(await figure('golooader_notifications_total{notification="delivered"}')).toBe(1)
  expect(await figure('golooader_problems_total{code="credentials-missing"}')).toBe(1)
  expect(await figure('golooader_open_transfers')).toBe(0)
  expect(await figure('golooader_open_bytes')).toBe(0)
  expect(await figure('golooader_requests_total{method="GET",route="/v1/inbox/:transferId/parts/:partNumber"}')).toBe(1)
  await portal.ask('GET', '/no/such/place')
  expect(await figure('golooader_requests_total{method="any",route="none"}')).toBe(1)
  expect(await figure('golooader_ledger_statements_total')).toBeGreaterThan(10)
})

test('liveness, readiness and limits are served', async () => {
  const portal = await TestPortal.start({ transferSizeBytesMax: 1234, leaseMs: 5678 })
  for (const path of ['/healthz', '/readyz']) {
    for (const method of ['GET', 'HEAD']) expect((await portal.ask(method, path)).status).toBe(200)
  }
  const limits = JSON.parse((await portal.ask('GET', '/v1/limits')).body.toString())
  expect(limits).toMatchObject({ transferSizeBytesMax: 1234, leaseMs: 5678, digestAlgorithms: fastDigestAlgorithms })
})

/** A gate in front of a server. It closes with the test. */
async function gateBefore(url: string): Promise<Gate> {
  const gate = await Gate.open(Number(new URL(url).port))
  onTestFinished(() => gate[Symbol.asyncDispose]())
  return gate
}

test('a portal whose database is away reports it at each readiness check, and once in its log', async () => {
  const { url } = await testDatabase()
  const gate = await gateBefore(url)
  const { address, env } = await testBucket()
  Object.assign(process.env, env)
  const lines: { msg: string }[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const portal = await startPortal(
    { listenPort: 0, databaseUrl: gate.through(url), storeUrl: address, stopMs: 100 },
    log,
  )
  onTestFinished(() => portal.close())
  const statusOf = async (path: string): Promise<number> => (await fetch(`${portal.url}${path}`)).status
  const told = (): string[] => lines.map(({ msg }) => msg).filter((msg) => /\bready\b/.test(msg))
  expect(await statusOf('/readyz')).toBe(200)
  gate.close()
  for (let times = 0; times < 3; times++) expect(await statusOf('/readyz')).toBe(503)
  expect(await statusOf('/healthz')).toBe(200)
  const figures = await fetch(`${portal.url}/metrics`)
  expect(figures.status).toBe(200)
  const figuresText = await figures.text()
  expect(figuresText).toMatch(/^golooader_connections \d/m)
  expect(figuresText).not.toMatch(/^golooader_open_/m)
  expect(told()).toEqual([expect.stringMatching(/^not ready to serve/)])
  gate.reopen()
  await until(async () => (await statusOf('/readyz')) === 200, 'it is ready again')
  expect(told()).toEqual([expect.stringMatching(/^not ready to serve/), 'ready to serve again'])
})

test('a portal whose S3 store is away is ready: small files still work', async () => {
  const { bucket, endpoint, env } = await testBucket()
  const gate = await gateBefore(endpoint)
  Object.assign(process.env, env)
  const portal = await TestPortal.start({ storeUrl: `s3://${bucket}?endpoint=${gate.through(endpoint)}` })
  gate.close()
  expect((await portal.ask('GET', '/readyz')).status).toBe(200)
  const answer = await portal.ask('PUT', '/v1/to/bob/small.txt', {
    token: portal.token('alice'),
    headers: { prefer: 'wait=0' },
    body: 'small',
  })
  expect(answer.body.toString()).toContain('stored ')
})
