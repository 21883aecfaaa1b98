/** A part that arrives slowly: clients of every language send one, and only those that ask are sent interim answers. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { PortalClient } from '../../../src/client/index.ts'
import { nodeTransport } from '../../../src/client/node-transport.ts'
import { digestOf } from '../../../src/digests/index.ts'
import { hasPreference } from '../../../src/protocol/index.ts'
import { until } from '../../e2e/harness/world.ts'
import { programPath, requireServer } from '../../servers/install.ts'
import { contentDigest, parseAnswer, partSizeBytes, readToEnd, TestPortal } from '../portal.ts'

/** What is left of a part after its first half is sent in slices of this size, for as long as a test wants. */
const SLICE_BYTES = 64
const content = Buffer.alloc(partSizeBytes, 'a part on a thin line ')
const INTERIM = 'HTTP/1.1 102 '

/** A client as Python's users write one. It sends a slice for each line that it reads, and the rest when that ends. */
const SLOW_PUT = `
import http.client, sys
host, port, path, token, digest, length, size = sys.argv[1:]
def body():
    sent = 0
    for line in sys.stdin:
        yield content[sent:sent + int(size)]
        sent += int(size)
    yield content[sent:]
content = (b'a part on a thin line ' * int(length))[:int(length)]
connection = http.client.HTTPConnection(host, int(port))
headers = {'Authorization': 'Bearer ' + token, 'Content-Digest': digest, 'Content-Length': length}
connection.request('PUT', path, body=body(), headers=headers)
answer = connection.getresponse()
print(answer.status, len(answer.read()))
`

/** Counts the signs of life that the event stream of an account tells. */
function arrivals(portal: TestPortal): { readonly count: number } {
  const seen = { count: 0 }
  const gone = new AbortController()
  onTestFinished(() => gone.abort())
  const watch = async (): Promise<void> => {
    for await (const event of portal.client('alice').watchEvents({}, { signal: gone.signal })) {
      if (event.type === 'arriving') seen.count++
    }
  }
  watch().catch(() => {})
  return seen
}

test("Python's http.client sends a slow part and is told that the portal holds it", async () => {
  await requireServer('python')
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  const seen = arrivals(portal)
  const path = `/v1/transfers/${transferId}/parts/1`
  const args = ['127.0.0.1', `${portal.port}`, path, portal.token('alice'), contentDigest(content)]
  const child = spawn(programPath('python3'), ['-c', SLOW_PUT, ...args, `${content.length}`, `${SLICE_BYTES}`])
  onTestFinished(() => void child.kill())
  let said = ''
  child.stdout.on('data', (text) => {
    said += text
  })
  child.stderr.on('data', (text) => {
    said += text
  })
  await until(async () => {
    child.stdin.write('\n')
    return seen.count > 0
  }, 'the event stream says that the part arrives')
  child.stdin.end()
  await once(child, 'close')
  expect(said.trim()).toBe('204 0')
})

/** Sends a part by hand until the portal has given a sign of life, whichever way. @returns all that came back */
async function slowly(headers: Record<string, string>): Promise<string> {
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  const seen = arrivals(portal)
  const request = portal.request('PUT', `/v1/transfers/${transferId}/parts/1`, {
    token: portal.token('alice'),
    headers: { 'content-digest': contentDigest(content), ...headers },
    body: content,
  })
  const socket = await portal.connect()
  let text = ''
  socket.on('data', (bytes) => {
    text += bytes.toString('latin1')
  })
  const ended = readToEnd(socket)
  let sentBytes = request.length - content.length
  socket.write(request.subarray(0, sentBytes))
  await until(async () => {
    socket.write(request.subarray(sentBytes, sentBytes + SLICE_BYTES))
    sentBytes += SLICE_BYTES
    return seen.count > 0 || text.includes(INTERIM)
  }, 'the portal gives a sign of life')
  socket.write(request.subarray(sentBytes))
  expect(parseAnswer(await ended, 'PUT').status).toBe(204)
  return text
}

test.each([
  ['asks', { prefer: 'interim' }, true],
  ['asks for more than that', { prefer: 'wait=5, Interim; a=b' }, true],
  ['does not ask', {}, false],
  ['asks for something else', { prefer: 'respond-async, interim-not' }, false],
  ['asks, and comes by a proxy', { prefer: 'interim', via: '1.1 proxy' }, false],
  ['asks, and is a page in a browser', { prefer: 'interim', 'sec-fetch-site': 'same-origin' }, false],
])('a sender that %s', async (_what, headers: Record<string, string>, isInterim) => {
  expect((await slowly(headers)).includes(INTERIM)).toBe(isInterim)
})

test('the client of the command line asks for interim answers with its parts', async () => {
  const portal = await TestPortal.start()
  const transferId = await portal.announce(content)
  const preferences: (string | undefined)[] = []
  const server = createServer((request, response) => {
    preferences.push(request.headers.prefer as string | undefined)
    request.resume().once('end', () => response.writeHead(204).end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  const client = new PortalClient(nodeTransport(`http://127.0.0.1:${port}`), portal.token('alice'))
  onTestFinished(() => client.close())
  const part = { bytes: content, digestAlgorithm: 'sha-256', digest: digestOf('sha-256', content) } as const
  await client.putPart(transferId, 1, part, { onAlive: () => {} })
  expect(preferences.map((field) => hasPreference(field, 'interim'))).toEqual([true])
})
