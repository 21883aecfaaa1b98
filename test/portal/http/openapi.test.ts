/** `/openapi.json` passes a linter, lets a generator build a client, and lists every possible answer. */
import { createConfig, lintFromString } from '@redocly/openapi-core'
import { OpenAPIClientAxios, type UnknownOperationMethod } from 'openapi-client-axios'
import { expect, test } from 'vitest'
import { ApiDescription } from '../../../src/portal/http/openapi/document.ts'
import { newTransferId, problemKinds } from '../../../src/protocol/index.ts'
import { Documentation, type Operation } from '../documented.ts'
import { announcement, contentDigest, manifestDigest, partSizeBytes, partsOf, TestPortal } from '../portal.ts'

async function textOf(portal: TestPortal): Promise<string> {
  return (await portal.ask('GET', '/openapi.json')).body.toString()
}

/** All operations, as `METHOD /path`. */
function operationsOf({ document }: Documentation): Record<string, Operation> {
  return Object.fromEntries(
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
    ),
  )
}

function headersOf({ parameters = [] }: Operation): string[] {
  return parameters.flatMap((one) => (one.in === 'header' ? [`${one.name}${one.required ? ' required' : ''}`] : []))
}

test('a linter reports nothing', async () => {
  const portal = await TestPortal.start()
  const config = await createConfig({ extends: ['recommended-strict'] })
  const source = await textOf(portal)
  const found = await lintFromString({ source, absoluteRef: '/openapi.json', config })
  expect(found.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`)).toEqual([])
  expect(JSON.parse(source)).toMatchObject({ openapi: '3.1.1', servers: [{ url: '/' }] })
})

test('it is built once, and then sent from one buffer', () => {
  const description = new ApiDescription(null)
  expect(description.toBytes()).toBe(description.toBytes())
})

test('it contains the public address of the portal, where the operator has set one', () => {
  const { servers } = JSON.parse(new ApiDescription('https://files.example/gl/').toBytes().toString())
  expect(servers).toEqual([{ url: 'https://files.example/gl' }])
})

test('a generated client sends a file, and learns that it was delivered', async () => {
  const portal = await TestPortal.start()
  const api = new OpenAPIClientAxios({
    definition: JSON.parse(await textOf(portal)),
    axiosConfigDefaults: { baseURL: portal.url, headers: { Authorization: `Bearer ${portal.token('alice')}` } },
  })
  const generated = await api.init()
  const call = (operationId: string, ...given: Parameters<UnknownOperationMethod>) => {
    const method = generated[operationId]
    if (method === undefined) throw new Error(`nothing called ${operationId} was generated`)
    return method(...given)
  }
  const content = Buffer.alloc(partSizeBytes + 5, 'made by a generator ')
  const transferId = newTransferId()
  const announced = await call('announceTransfer', { transferId }, announcement(content.length))
  expect(announced.status).toBe(201)
  for (const [index, bytes] of partsOf(content).entries()) {
    const parameters = { transferId, partNumber: index + 1, 'Content-Digest': contentDigest(bytes) }
    const headers = { 'Content-Type': 'application/octet-stream' }
    expect((await call('putPart', parameters, bytes, { headers })).status).toBe(204)
  }
  const completion = { attempt: 1, manifestDigest: manifestDigest(content) }
  const completed = await call('completeTransfer', { transferId }, completion)
  expect(completed.data).toMatchObject({ notification: 'stored' })

  const { leaseId } = await portal.offerOf(transferId)
  const { manifestDigest: received } = completion
  await portal.dispose(transferId, { leaseId, disposition: 'received', manifestDigest: received })
  const { data } = await call('listTransferEvents', { transferId, limit: 10 })
  expect(data.events.map((one: { notification: string }) => one.notification)).toEqual(['stored', 'delivered'])
})

test('it says which requests need a token: all but joining, limits and operations', async () => {
  const portal = await TestPortal.start()
  const operations = operationsOf(new Documentation(await textOf(portal)))
  const open = Object.entries(operations).flatMap(([name, { security }]) => (security.length === 0 ? [name] : []))
  expect(open.sort()).toEqual([
    'GET /healthz',
    'GET /metrics',
    'GET /openapi.json',
    'GET /readyz',
    'GET /v1/limits',
    'OPTIONS /v1/tus',
    'POST /v1/invite',
    'POST /v1/join',
    'POST /v1/proof',
    'POST /v1/requests/join',
    'POST /v1/requests/look',
  ])
  for (const [name, { security }] of Object.entries(operations)) {
    const [method = '', path = ''] = name.split(' ')
    const isOpen = (await portal.ask(method, path.replace(/\{\w+\}/g, 'x'))).status !== 401
    expect(isOpen, name).toBe(security.length === 0)
  }
})

test('every request has a name, and lists the header fields that it uses', async () => {
  const portal = await TestPortal.start()
  const operations = operationsOf(new Documentation(await textOf(portal)))
  const ids = Object.values(operations).map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
  const withHeaders = Object.entries(operations).flatMap(([name, operation]) => {
    const headers = headersOf(operation)
    return headers.length === 0 ? [] : [[name, headers.join(', ')]]
  })
  expect(Object.fromEntries(withHeaders)).toEqual({
    'PUT /v1/transfers/{transferId}/parts/{partNumber}': 'Content-Digest required, Prefer',
    'GET /v1/events': 'Last-Event-ID, Prefer',
    'GET /v1/transfers/{transferId}/events': 'Last-Event-ID, Prefer',
    'GET /v1/inbox': 'Prefer',
    'GET /v1/inbox/{transferId}': 'Prefer',
    'GET /v1/inbox/{transferId}/parts/{partNumber}': 'Prefer, Range, If-Range',
    'PATCH /v1/uploads/{secret}':
      'Upload-Offset required, Upload-Complete required, Upload-Length, Upload-Draft-Interop-Version, Content-Digest, Repr-Digest, Prefer, Expect',
    'PUT /v1/to/{receivers}/{name}':
      'Repr-Digest, Content-Digest, Idempotency-Key, Prefer, Expect, Upload-Complete, Upload-Length, Upload-Draft-Interop-Version',
    'POST /v1/to/{receivers}/{name}':
      'Repr-Digest, Content-Digest, Idempotency-Key, Prefer, Expect, Upload-Complete, Upload-Length, Upload-Draft-Interop-Version',
    'POST /v1/tus':
      'Tus-Resumable required, Upload-Checksum, Expect, Upload-Length, Upload-Defer-Length, Upload-Metadata required',
    'GET /v1/tus/{secret}': 'Tus-Resumable required',
    'PATCH /v1/tus/{secret}': 'Tus-Resumable required, Upload-Checksum, Expect, Upload-Offset required, Upload-Length',
    'DELETE /v1/tus/{secret}': 'Tus-Resumable required',
  })
})

test('bodies other than JSON are described: parts, whole files, and a file in one request', async () => {
  const portal = await TestPortal.start()
  const operations = operationsOf(new Documentation(await textOf(portal)))
  const bodies = Object.entries(operations).flatMap(([name, { requestBody }]) => {
    const mediaTypes = Object.keys(requestBody?.content ?? {}).filter((one) => one !== 'application/json')
    return mediaTypes.length === 0 ? [] : [[name, mediaTypes.join(', ')]]
  })
  expect(Object.fromEntries(bodies)).toEqual({
    'PUT /v1/transfers/{transferId}/parts/{partNumber}': 'application/octet-stream',
    'PUT /v1/transfers/{transferId}/whole': 'application/octet-stream',
    'POST /v1/transfers/batch': 'application/octet-stream',
    'PUT /v1/to/{receivers}/{name}': '*/*',
    'PATCH /v1/uploads/{secret}': 'application/partial-upload',
    'POST /v1/to/{receivers}/{name}': '*/*',
    'POST /v1/tus': 'application/offset+octet-stream',
    'PATCH /v1/tus/{secret}': 'application/offset+octet-stream',
  })
})

test('a refusal lists its codes with the status of the table, and Retry-After', async () => {
  const portal = await TestPortal.start()
  const documentation = new Documentation(await textOf(portal))
  const statusOf: Readonly<Record<string, { status: number; next: string }>> = problemKinds
  for (const [name, operation] of Object.entries(operationsOf(documentation))) {
    for (const status of Object.keys(operation.responses).map(Number)) {
      const { answer } = documentation.answerOf(operation, status)
      const codes = answer['x-problem-codes'] ?? []
      expect(codes.length > 0, `${name} ${status}`).toBe(status >= 400)
      expect(codes.map((code) => statusOf[code]?.status)).toEqual(codes.map(() => status))
      const mayRetry = codes.some((code) => statusOf[code]?.next === 'retry')
      if (mayRetry) expect(Object.keys(answer.headers ?? {})).toContain('Retry-After')
    }
  }
})

test('the events of both streams match their schemas', async () => {
  const portal = await TestPortal.start()
  const documentation = new Documentation(await textOf(portal))
  const content = Buffer.from('an event each')
  const transferId = await portal.store(content)
  const { leaseId } = await portal.offerOf(transferId)
  await portal.ask('GET', `/v1/inbox/${transferId}/parts/1?lease=${leaseId}&held=0`, { token: portal.token('bob') })

  const events = await firstEvents(portal, `/v1/transfers/${transferId}/events`, 'alice', 2)
  expect(events.map(({ event }) => event)).toEqual(['notification', 'current'])
  const offers = await firstEvents(portal, '/v1/inbox?instance=instance-1', 'bob', 2)
  expect(offers.map(({ event }) => event)).toEqual(['offer', 'current'])
  for (const [path, those] of [
    ['/v1/transfers/{transferId}/events', events],
    ['/v1/inbox', offers],
  ] as const) {
    const place = ['paths', path, 'get', 'responses', '200', 'content', 'text/event-stream', 'schema', 'contentSchema']
    const validate = documentation.validator(...place)
    expect(validate(those), JSON.stringify(validate.errors)).toBe(true)
    expect(validate([...those, { event: 'unheard-of', data: {} }])).toBe(false)
  }
})

test('lines of JSON match their schema, also the last one, which names the pending receivers', async () => {
  const portal = await TestPortal.start()
  const documentation = new Documentation(await textOf(portal))
  const { body } = await portal.ask('PUT', '/v1/to/bob/lines.txt', {
    token: portal.token('alice'),
    headers: { accept: 'application/jsonl', prefer: 'wait=0' },
    body: 'hello',
  })
  const lines = [...body.toString().matchAll(/\{.*\}/g)].map(([line]) => JSON.parse(line))
  expect(lines).toHaveLength(2)
  const place = ['put', 'responses', '200', 'content', 'application/jsonl', 'schema', 'contentSchema']
  const validate = documentation.validator('paths', '/v1/to/{receivers}/{name}', ...place)
  expect(validate(lines), JSON.stringify(validate.errors)).toBe(true)
  expect(validate([{ transferId: 'something else' }])).toBe(false)
})

/** The first events of a stream, as the portal sent them. */
async function firstEvents(portal: TestPortal, path: string, name: string, count: number) {
  const gone = new AbortController()
  const headers = { authorization: `Bearer ${portal.token(name)}`, accept: 'text/event-stream' }
  const { body } = await fetch(`${portal.url}${path}`, { headers, signal: gone.signal })
  const events: { event: string; data: unknown; id?: string }[] = []
  let text = ''
  for await (const chunk of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += chunk
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = block.split('\n').map((line) => /^(\w+): (.*)$/.exec(line) ?? [])
      const field = (wanted: string) => fields.find(([, key]) => key === wanted)?.[2]
      const [event, data, id] = [field('event'), field('data'), field('id')]
      if (event === undefined || data === undefined) continue
      events.push({ event, data: JSON.parse(data), ...(id === undefined ? {} : { id }) })
    }
    if (events.length >= count) break
  }
  gone.abort()
  return events.slice(0, count)
}
