/** Which addresses a receiver fetches from when a portal names them, and which it refuses. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { NoResponseError } from '../../src/client/index.ts'
import { LinkFollower, lookupElsewhere } from '../../src/client/node-links.ts'
import { wayOf } from '../../src/client/node-transport.ts'
import { Authority } from '../e2e/tls/authority.ts'
import { testFolder } from '../suites/folder.ts'

const LIMITS = { stallTimeoutMs: 2_000 }

function followerOf(portalUrl: string): LinkFollower {
  const follower = new LinkFollower(portalUrl, wayOf(portalUrl, { proxies: false }))
  onTestFinished(() => follower.close())
  return follower
}

async function aStorage(): Promise<{ port: number; asked: () => number }> {
  let asked = 0
  const server = createServer((_request, response) => {
    asked++
    response.end('content')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, asked: () => asked }
}

test('a portal on this machine may name addresses of this machine', async () => {
  const { port } = await aStorage()
  const response = await followerOf('http://127.0.0.1:7878').fetch(`http://127.0.0.1:${port}/a?b=c#d`, LIMITS)
  expect(await text(response.body)).toBe('content')
})

test.each(['127.0.0.1', 'localhost', 'storage.localhost', '[::1]', '[::ffff:127.0.0.1]', '0.0.0.0', '0x7f.1', '127.1'])(
  'a portal elsewhere cannot send a receiver to %s',
  async (host) => {
    const { port, asked } = await aStorage()
    const fetching = followerOf('http://192.0.2.1:7878').fetch(`http://${host}:${port}/`, LIMITS)
    await expect(fetching).rejects.toThrow('an address that only this machine reaches')
    expect(asked()).toBe(0)
  },
)

test.each(['169.254.169.254', '[fe80::1]'])('%s is refused as well: clouds serve secrets there', async (host) => {
  const fetching = followerOf('https://192.0.2.1').fetch(`https://${host}/`, LIMITS)
  await expect(fetching).rejects.toThrow('an address that only this machine reaches')
})

test('a name is checked by the address that it resolves to', async () => {
  const looked = new Promise((_resolve, reject) => {
    lookupElsewhere('localhost', { all: true }, (error) => reject(error))
  })
  await expect(looked).rejects.toThrow('an address that only this machine reaches')
})

test('behind a portal with TLS, links without TLS are refused', async () => {
  const { port, asked } = await aStorage()
  const fetching = followerOf('https://127.0.0.1').fetch(`http://127.0.0.1:${port}/`, LIMITS)
  await expect(fetching).rejects.toThrow('an address that is not to be followed')
  expect(asked()).toBe(0)
})

test('an untrusted certificate is a failure like any other', async () => {
  const authority = await Authority.create(await testFolder())
  const { certPath, keyPath } = await authority.certify('storage', 1)
  const server = createTlsServer({ cert: await readFile(certPath), key: await readFile(keyPath) }).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const fetching = followerOf('https://127.0.0.1').fetch(`https://127.0.0.1:${port}/`, LIMITS)
  await expect(fetching).rejects.toThrow(NoResponseError)
})
