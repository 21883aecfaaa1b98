// @tier stress
/** Clients cannot fill the portal's log or audit log by repeating a request. */
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { portalLog } from '../../../src/portal/monitoring/log.ts'
import { newInvite, newToken, newTransferId, Problem } from '../../../src/protocol/index.ts'
import { announcement, contentDigest, KIB, manifestDigest, partSizeBytes, TestPortal } from '../portal.ts'

const TIMES = 30
/** How many lines of one kind the portal may log within a second, including the first. */
const LINES_PER_SECOND = 2

function kindOf(line: string): string {
  const { audit, code, msg } = JSON.parse(line) as Record<string, unknown>
  return [audit, code, msg].join(' ')
}

const content = Buffer.alloc(2 * partSizeBytes, 'logged ')
const part = content.subarray(0, partSizeBytes)

test('no repeated request writes a line each time', async () => {
  const lines: string[] = []
  const sink = new Writable({
    write: (text, _, done) => {
      lines.push(String(text))
      done()
    },
  })
  const portal = await TestPortal.start(
    { storageBytesMax: 100 * 1024 * KIB, idleMs: 500 },
    { log: portalLog({ level: 'info', write: (line) => sink.write(line) }) },
  )
  const [alice, bob, carol] = ['alice', 'bob', 'carol'].map((name) => portal.token(name))
  const stored = await portal.store(content)
  const { leaseId } = await portal.offerOf(stored)
  const used = { invite: await TestPortal.invite(portal.dataFolder, 'dave'), token: newToken() }
  const problem = new Problem('write-failed').toJSON()

  /** Sends the beginning of a request and disconnects. */
  const breakOff = async (bytes: Buffer, share = 0.5): Promise<void> => {
    const socket = await portal.connect()
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(bytes.subarray(0, Math.ceil(bytes.length * share)), () => setImmediate(() => socket.resetAndDestroy()))
    await closed
  }
  const openTransfer = await portal.announce(content)
  const put = portal.request('PUT', `/v1/transfers/${openTransfer}/parts/1`, {
    token: alice,
    headers: { 'content-digest': contentDigest(part) },
    body: part,
  })
  const json = (method: string, path: string, token: string | undefined, body: unknown) =>
    portal.request(method, path, { token, body })
  const deeds: Readonly<Record<string, () => Promise<unknown>>> = {
    'a body that breaks off': () => breakOff(json('PUT', `/v1/transfers/${newTransferId()}`, alice, announcement(1))),
    'a part that breaks off': () => breakOff(put),
    'a head that breaks off': () => breakOff(put, 0.001),
    'a file in one request that breaks off': () =>
      breakOff(portal.request('PUT', '/v1/to/bob/a.bin', { token: alice, body: content })),
    'a small file that breaks off': () =>
      breakOff(portal.request('PUT', '/v1/to/bob/a.bin', { token: alice, body: part })),
    'a download that breaks off': () =>
      breakOff(portal.request('GET', `/v1/inbox/${stored}/parts/1?lease=${leaseId}`, { token: bob }), 1),
    'a stream of offers that breaks off': () =>
      breakOff(portal.request('GET', '/v1/inbox?instance=instance-9', { token: carol }), 1),
    'a stream of events that breaks off': () =>
      breakOff(portal.request('GET', '/v1/events', { token: alice, headers: { accept: 'text/event-stream' } }), 1),
    'a receiver that asks again and goes': () =>
      breakOff(
        json('POST', `/v1/inbox/${stored}/disposition`, bob, {
          ...{ leaseId: 'l'.repeat(24), disposition: 'resend', problem, wanted: [[1, 2]] },
        }),
        1,
      ),
    'what is not HTTP': () => portal.raw('what is this\r\n\r\n'),
    'what has too many headers': () => portal.raw(`GET / HTTP/1.1\r\na: ${'a'.repeat(20 * KIB)}\r\n\r\n`),
    'a token that is none': () => portal.ask('GET', '/v1/account', { token: newToken() }),
    'an invite that is none': () =>
      portal.ask('POST', '/v1/join', { body: { invite: newInvite(), token: newToken() } }),
    'an invite that is none, asked about': () => portal.ask('POST', '/v1/invite', { body: { invite: newInvite() } }),
    'an invite that was used, with its token': () => portal.ask('POST', '/v1/join', { body: used }),
    'keys of its own, over and over': () =>
      portal.ask('PUT', '/v1/account/keys', {
        token: alice,
        body: { signing: `${'A'.repeat(41)}${Math.random() < 0.5 ? 'B' : 'C'}A`, encryption: 'A'.repeat(43) },
      }),
    'what is not its own': () => portal.ask('GET', `/v1/transfers/${stored}`, { token: carol }),
    'operations of what it does not operate': () => portal.ask('GET', '/v1/operations', { token: carol }),
    'a file for which there is no room': () =>
      portal.ask('PUT', `/v1/transfers/${newTransferId()}`, {
        token: alice,
        body: { ...announcement(900 * 1024 * KIB), partSizeBytes: 1024 * KIB },
      }),
    'a part that is not its digest': () =>
      portal.putPart(openTransfer, 1, part, { 'content-digest': contentDigest(content) }),
    'an attempt that is not complete': async () => {
      const transferId = await portal.announce(content)
      const body = { attempt: 1, manifestDigest: manifestDigest(content) }
      await portal.ask('POST', `/v1/transfers/${transferId}/complete`, { token: alice, body })
      await portal.ask('DELETE', `/v1/transfers/${transferId}`, { token: alice })
    },
    'a path that is none': () => portal.ask('GET', '/v1/nothing', { token: alice }),
  }
  for (const [what, deed] of Object.entries(deeds)) {
    lines.length = 0
    const begunAtMs = performance.now()
    for (let times = 0; times < TIMES; times++) await deed()
    // Once the portal answers this request, it has logged what the earlier one caused.
    await portal.ask('GET', '/readyz')
    const seconds = Math.ceil((performance.now() - begunAtMs) / 1000)
    // Of each kind: sums of earlier requests may appear meanwhile.
    const kinds = Object.values(Object.groupBy(lines, kindOf)).map((those) => those?.length ?? 0)
    const most = Math.max(0, ...kinds)
    expect(most, `${what}: ${lines.slice(0, 3).join('')}`).toBeLessThanOrEqual(1 + LINES_PER_SECOND * seconds)
    expect(seconds, what).toBeLessThan(TIMES / LINES_PER_SECOND / 1.5)
  }
})
