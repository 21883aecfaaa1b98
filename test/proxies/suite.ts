/**
 * Users send and receive through a real reverse proxy with its configuration from `deploy/`. The suite is the same for every proxy.
 * Each proxy declares where it differs.
 */
import { request } from 'node:http'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { invite, openLedger } from '../../src/portal/index.ts'
import { formatContentDigest } from '../../src/protocol/index.ts'
import { announceByHand, type ByHand } from '../e2e/first-hop/by-hand.ts'
import { FaultyNetwork } from '../e2e/harness/proxy.ts'
import { type Running, sha256Of, until, World } from '../e2e/harness/world.ts'
import { ask, FORMS, OTHER_FORMS } from '../e2e/load-balancer/figures.ts'
import { hostOf, reachBy, saidOf } from '../e2e/load-balancer/scene.ts'
import { curl, outcome } from '../e2e/one-request/curl.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { builtPage } from '../page/built.ts'
import { openVisit } from '../page/harness/visitor.ts'
import { type ProxyKind, type ReverseProxy, startProxy } from '../servers/proxy-process.ts'
import { type SilentOrigin, silentOrigin } from './silent-origin.ts'

const KIB = 1024
const MIB = 1024 * KIB
/** Longer than 60 seconds, the time limit of many proxies. */
const SILENCE_MS = 70_000
const REFUSED_BYTES = 28 * MIB
const INVITE_MS = 60_000
/** At this rate a part of 2 MiB takes 14 seconds. */
const THIN_BYTES_PER_SECOND = 150_000

export interface Traits {
  /**
   * When a client that sends `Expect: 100-continue` gets a refusal. Some proxies forward that header. Others request the body
   * themselves, and the portal refuses during the upload or after it. One proxy may close the connection of a client that is still
   * sending before the client has read the refusal.
   */
  readonly refusal: 'before the upload' | 'during the upload' | 'after the upload' | 'or cut off during the upload'
  /** Whether the proxy streams an upload, so that the portal can report progress during it. */
  readonly isUploadStreamed: boolean
  /** Whether the proxy can serve the portal under a path. */
  readonly hasPaths: boolean
  readonly hasTls: boolean
}

/** Tests that a proxy does what its configuration promises. */
export function testProxy(kind: ProxyKind, traits: Traits): void {
  describe(`behind ${kind}`, () => {
    let world: World
    let proxy: ReverseProxy
    let bob: Running
    let origin: SilentOrigin
    let silentProxy: ReverseProxy
    let silent: Promise<unknown>
    let idleSinceMs: number
    const disposed = new AsyncDisposableStack()

    beforeAll(async () => {
      await builtPage()
      world = disposed.use(await World.create({ isShared: true }))
      await world.portal(['--trusted-proxies', '127.0.0.1', '--max-transfer', '100MiB'])
      proxy = await started('proxy', hostOf(world.portalUrl))
      origin = disposed.use(await silentOrigin(SILENCE_MS))
      silentProxy = await started('silent', origin.host)
      await world.join(['alice', 'zoe'], { alice: proxy })
      // The silence lasts long, so it runs beside the other tests.
      silent = Promise.all(['/late', '/stream'].map(async (path) => (await fetch(silentProxy.url + path)).text()))
      silent.catch(() => {})
    })
    afterAll(() => disposed.disposeAsync())

    async function started(name: string, backend: string, isUnderPath = false): Promise<ReverseProxy> {
      return disposed.use(await startProxy({ kind, backend, folder: world.path(name), isUnderPath }))
    }

    async function link(name: string, portal = proxy): Promise<string> {
      const ledger = await openLedger(world)
      const secret = await invite(ledger, name, INVITE_MS)
      await ledger.close()
      return `${portal.url}/join#${secret}`
    }

    async function expectDelivered(sending: Running, path: string, name: string): Promise<void> {
      const { code, stdout, stderr } = await sending.ended
      expect(code, stdout + stderr).toBe(0)
      expect(await sha256Of(join(world.inbox('bob'), name))).toBe(await sha256Of(path))
    }

    async function curlSends(path: string, portal: ReverseProxy): Promise<void> {
      const asked = ['-H', `Authorization: Bearer ${await world.token('alice')}`, '-H', 'Prefer: wait=0']
      const { status, lines } = await outcome(
        curl('-T', path, ...asked, `${portal.url}/v1/to/zoe/100%25%2Fb%C3%A4.bin`),
      )
      expect(lines[0]).toMatch(/^stored \S+ 100%\/bä\.bin, /)
      expect(status).toBe(200)
    }

    async function expectRefused(portal: ReverseProxy, ...args: string[]): Promise<void> {
      const path = await world.file('refused.bin', REFUSED_BYTES)
      // Without an answer curl begins after one second, which a busy machine may take.
      const waiting = traits.refusal === 'before the upload' ? ['--expect100-timeout', '60'] : []
      const asked = ['-H', `Authorization: Bearer ${await world.token('alice')}`, ...waiting, ...args]
      const { status, sentBytes, lines } = await outcome(curl('-T', path, ...asked, `${portal.url}/v1/to/nobody/x`))
      if (traits.refusal === 'or cut off during the upload' && lines.length === 0) {
        expect(status).toBeLessThan(200)
        return
      }
      expect(lines, `${status} ${sentBytes} ${args.join(' ')}`).toEqual([
        expect.stringMatching(/^refused: receiver-unknown: /),
      ])
      expect(status).toBe(404)
      if (traits.refusal === 'before the upload') expect(sentBytes, args.join(' ')).toBe(0)
      if (traits.refusal === 'after the upload') expect(sentBytes, args.join(' ')).toBe(REFUSED_BYTES)
    }

    test('a receiver joins by its link, and is connected', async () => {
      const { code, stderr } = await world.run('join', await link('bob'), '--profile', 'bob')
      expect(code, stderr).toBe(0)
      bob = await world.receiver('bob')
      idleSinceMs = performance.now()
    })

    test.each([
      ['1 KiB', KIB],
      ['60 MiB', 60 * MIB],
    ])('a file of %s is delivered, and no request is repeated', async (_, sizeBytes) => {
      const name = `file-${sizeBytes}.bin`
      const path = await world.file(name, sizeBytes)
      const sending = world.send(path, 'bob')
      await expectDelivered(sending, path, name)
      expect(saidOf(sending)).toEqual([])
    })

    test('a part on a slow line arrives', async () => {
      await using thin = await FaultyNetwork.open(() => proxy.url)
      thin.rule = ({ method }) => (method === 'PUT' ? { bytesPerSecond: THIN_BYTES_PER_SECOND } : null)
      await reachBy(world, 'alice', thin.url)
      try {
        const path = await world.file('thin.bin', 2 * MIB)
        // A proxy that buffers the whole upload needs small parts.
        const partSize = traits.isUploadStreamed ? '2MiB' : '256KiB'
        const flags = ['--part-size', partSize, '--parts-in-flight', '1', '--answer-timeout', '12s']
        const sending = world.send(path, 'bob', ...flags)
        await expectDelivered(sending, path, 'thin.bin')
        expect(saidOf(sending)).toEqual([])
      } finally {
        await reachBy(world, 'alice', proxy.url)
      }
    })

    test('a client that asks for interim responses gets its final response', async () => {
      const alice = await world.client('alice')
      const byHand = await announceByHand(alice, 'bob', 1)
      expect(await slowPart(proxy, byHand, await world.token('alice'))).toEqual({ interim: [], status: 204 })
      await alice.cancel(byHand.transferId)
    })

    test('curl sends 60 MiB in one request, by a name with a slash and a percent sign', async () => {
      await curlSends(await world.file('whole.bin', 60 * MIB), proxy)
    })

    test(`curl is refused ${traits.refusal}`, () => expectRefused(proxy))

    test('the page is opened by a link, joins, and sends', async () => {
      const visitor = await openVisit()
      await visitor.join(await link('carol'))
      await visitor.send([await world.file('page.bin', 3 * MIB)], ['bob'])
      await bob.object(({ type, name }) => type === 'received' && name === 'page.bin')
    })

    test('the metrics of the portal cannot be requested, in any encoding', async () => {
      for (const target of [...FORMS, ...OTHER_FORMS]) {
        expect(await ask(hostOf(proxy.url), target), target).not.toContain('golooader_open_bytes')
      }
      for (const target of FORMS.filter((form) => form.startsWith('/'))) {
        expect(await ask(hostOf(proxy.url), target), target).toMatch(/^HTTP\/1\.[01] (403|404) /)
      }
      for (const target of ['/healthz', '/v1/limits', '/v1/%6cimits']) {
        expect(await ask(hostOf(proxy.url), target), target).toMatch(/^HTTP\/1\.[01] 200 /)
      }
    })

    if (traits.hasTls) {
      test(`over TLS a file is delivered, and curl is refused ${traits.refusal}`, async () => {
        const authority = await Authority.create(world.path('tls'))
        const certificate = await authority.certify('proxy', 1)
        const folder = world.path('secure')
        const options = { kind, backend: hostOf(world.portalUrl), folder, certificate }
        await using secure = await startProxy(options)
        await reachBy(world, 'alice', secure.url)
        try {
          const path = await world.file('secure.bin', 12 * MIB)
          const trusting = { env: { NODE_EXTRA_CA_CERTS: authority.caPath } }
          await expectDelivered(
            world.start(['send', path, '--to', 'bob', '--profile', 'alice'], trusting),
            path,
            'secure.bin',
          )
        } finally {
          await reachBy(world, 'alice', proxy.url)
        }
        // The test tries both HTTP versions of curl where the proxy supports them.
        for (const version of ['--http1.1', '--http2']) {
          await expectRefused(secure, version, '--cacert', authority.caPath)
        }
      })
    }

    if (traits.hasPaths) testPath()
    function testPath(): void {
      test('a portal under a path works for joining, sending, and its page', async () => {
        const path = await world.file('below.bin', 3 * MIB)
        const below = await started('below', hostOf(world.portalUrl), true)
        const { code, stderr } = await world.run('join', await link('dora', below), '--profile', 'dora')
        expect(code, stderr).toBe(0)
        await expectDelivered(world.start(['send', path, '--to', 'bob', '--profile', 'dora']), path, 'below.bin')
        expect((await fetch(below.url)).url).toBe(`${below.url}/`)
        const visitor = await openVisit()
        await visitor.join(await link('erik', below))
        for (const address of visitor.asked) expect(address.startsWith(`${below.url}/`), address).toBe(true)
        await curlSends(path, below)
        const { origin } = new URL(below.url)
        for (const target of [...FORMS, ...OTHER_FORMS].map((form) => form.replace(/\/(?=[^/]*$)/, '/gl/'))) {
          expect(await ask(hostOf(origin), target), target).not.toContain('golooader_open_bytes')
        }
      })
    }

    test(`${SILENCE_MS / 1000} seconds without a byte end no answer, and no stream of a receiver`, async () => {
      expect(await silent).toEqual(['last\n', 'first\nlast\n'])
      await until(() => performance.now() - idleSinceMs > SILENCE_MS, 'the receiver has been there for so long')
      expect(bob.json.filter(({ type }) => type === 'disconnected')).toEqual([])
      const path = await world.file('late.bin', KIB)
      await expectDelivered(world.send(path, 'bob'), path, 'late.bin')
    })
  })
}

/** Sends a part slowly and asks for interim answers. @returns the interim answers and the final status */
async function slowPart(
  proxy: ReverseProxy,
  byHand: ByHand,
  token: string,
): Promise<{ interim: number[]; status: number }> {
  const {
    parts: [bytes = Buffer.alloc(0)],
    digests: [digest = ''],
  } = byHand
  const interim: number[] = []
  const outgoing = request(`${proxy.url}/v1/transfers/${byHand.transferId}/parts/1`, {
    method: 'PUT',
    headers: {
      Authorization: `Bearer ${token}`,
      'Content-Type': 'application/octet-stream',
      'Content-Length': bytes.length,
      'Content-Digest': formatContentDigest(byHand.digestAlgorithm, digest),
      Prefer: 'interim',
    },
  })
  outgoing.on('information', ({ statusCode }) => interim.push(statusCode))
  const answered = new Promise<number>((resolve, reject) => {
    outgoing.once('error', reject)
    outgoing.once('response', (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
  })
  const pauses = 6
  for (let sent = 0; sent < pauses; sent++) {
    outgoing.write(bytes.subarray((bytes.length * sent) / pauses, (bytes.length * (sent + 1)) / pauses))
    await setTimeout(1_000)
  }
  outgoing.end()
  return { interim, status: await answered }
}
