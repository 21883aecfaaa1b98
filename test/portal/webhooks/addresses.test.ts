/** Where webhooks go, and where not: by literal addresses, by names, and by what names resolve to at the moment of the connection. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { WebhookAddresses } from '../../../src/portal/webhooks/addresses.ts'
import { WebhookRequests } from '../../../src/portal/webhooks/request.ts'

const never = new AbortController().signal

/** A server of this machine that counts its requests. */
async function counting() {
  let requests = 0
  const server = createServer((request, response) => {
    requests++
    request.resume().on('end', () => response.end())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return { port: (server.address() as AddressInfo).port, requests: () => requests }
}

function post(url: string, networks: readonly string[] = []) {
  const requests = new WebhookRequests(new WebhookAddresses(networks), 5_000)
  onTestFinished(() => requests[Symbol.dispose]())
  return requests.post(url, {}, '{}', never)
}

const refused = 'its network is not allowed. The operator allows networks with: golooader portal --webhook-networks'

describe('addresses', () => {
  const addresses = new WebhookAddresses([])

  test.each([
    ...[
      '127.0.0.1',
      '127.9.9.9',
      '0.0.0.0',
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.255',
      '192.168.1.1',
      '169.254.169.254',
    ],
    ...[
      '100.64.0.1',
      '100.127.255.255',
      '192.0.0.8',
      '198.18.0.1',
      '224.0.0.1',
      '239.1.1.1',
      '240.0.0.1',
      '255.255.255.255',
    ],
    ...[
      '::1',
      '::',
      'fe80::1',
      'fc00::1',
      'fd12:3456::1',
      'ff02::1',
      'fec0::1',
      '2001:db8::1',
      '2002:7f00:1::',
      '::ffff:0:127.0.0.1',
      '400::1',
      '1000::1',
      '4000::1',
      '8000::1',
      '2001::1',
    ],
    // IPv4 within IPv6: mapped, compatible, NAT64.
    ...['::ffff:127.0.0.1', '::ffff:10.0.0.1', '::ffff:a9fe:a9fe', '::127.0.0.1', '64:ff9b::7f00:1', '64:ff9b::a00:1'],
  ])('%s is refused', (address) => {
    expect(addresses.isAllowed(address)).toBe(false)
    const host = address.includes(':') ? `[${address}]` : address
    expect(() => addresses.checked(`https://${host}/`)).toThrow()
  })

  test.each([
    ...['1.1.1.1', '8.8.8.8', '100.63.0.1', '172.32.0.1', '192.169.0.1', '223.255.255.255'],
    ...['2606:4700::1111', '::ffff:8.8.8.8', '64:ff9b::808:808'],
  ])('%s is allowed', (address) => {
    expect(addresses.isAllowed(address)).toBe(true)
  })

  test('of the networks of this machine are refused', () => {
    const own = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
    expect(own.length).toBeGreaterThan(0)
    for (const { address } of own) expect(addresses.isAllowed(address), address).toBe(false)
  })

  test('of the networks that the operator names are allowed, and no others', () => {
    const some = new WebhookAddresses(['10.1.0.0/16', '127.0.0.1', 'fd00::/8'])
    for (const address of ['10.1.2.3', '127.0.0.1', '::ffff:10.1.2.3', 'fd00::1'])
      expect(some.isAllowed(address), address).toBe(true)
    for (const address of ['10.2.0.1', '127.0.0.2', 'fc00::1']) expect(some.isAllowed(address), address).toBe(false)
  })

  test.each([
    ['http://example.org/', 'it has to begin with https://'],
    ['ftp://example.org/', 'it has to begin with https://'],
    ['hook', 'it has to begin with https://'],
    ['https://user:secret@example.org/', 'it must not have a user or a password'],
    ['https://example.org/#part', 'it must not have a fragment'],
    ['https://2130706433/', refused],
    ['https://0x7f.1/', refused],
    ['https://[::ffff:127.0.0.1]/', refused],
  ])('%s is refused before anything is sent', (url, detail) => {
    expect(() => addresses.checked(url)).toThrow(
      expect.objectContaining({ code: 'webhook-refused', details: { detail } }),
    )
  })

  test('by plain http are only those of networks that the operator names', () => {
    const some = new WebhookAddresses(['10.1.0.0/16'])
    expect(some.checked('http://10.1.2.3/x')).toBe('http://10.1.2.3/x')
    expect(some.checked('http://internal.example/x')).toBe('http://internal.example/x')
    expect(() => some.checked('http://8.8.8.8/')).toThrow(expect.objectContaining({ code: 'webhook-refused' }))
  })
})

describe('a request', () => {
  test('to a name that resolves to this machine is refused at the connection', async () => {
    const { port, requests } = await counting()
    for (const url of [`https://localhost:${port}/`, `http://localhost:${port}/`, `https://127.0.0.1:${port}/`]) {
      expect(await post(url), url).toMatchObject({ status: null, reason: refused })
    }
    expect(requests()).toBe(0)
    // The same, where it is allowed.
    expect(await post(`http://localhost:${port}/`, ['127.0.0.0/8', '::1'])).toMatchObject({ status: 200, reason: null })
    expect(requests()).toBe(1)
  })

  test('by plain http to a name whose address the operator did not name is refused', async () => {
    const { port, requests } = await counting()
    expect(await post(`http://localhost:${port}/`, ['10.0.0.0/8'])).toMatchObject({ status: null, reason: refused })
    expect(requests()).toBe(0)
  })

  test('uses no proxy', async () => {
    const [target, proxy] = [await counting(), await counting()]
    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy']) {
      vi.stubEnv(name, `http://127.0.0.1:${proxy.port}`)
    }
    onTestFinished(() => void vi.unstubAllEnvs())
    expect(await post(`http://127.0.0.1:${target.port}/`, ['127.0.0.1'])).toMatchObject({ status: 200, reason: null })
    expect([target.requests(), proxy.requests()]).toEqual([1, 0])
  })

  test('to a name that there is not, and to a closed port, says so', async () => {
    expect((await post('https://no-such-host.invalid/'))?.reason).toMatch(/^its host name is not found \(E/)
    expect((await post('http://127.0.0.1:1/', ['127.0.0.1']))?.reason).toBe('the connection failed (ECONNREFUSED)')
  })
})
