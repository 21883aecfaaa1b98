import { randomUUID } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import { expect } from 'vitest'
import { invite, openLedger } from '../../../src/portal/index.ts'
import { newToken } from '../../../src/protocol/index.ts'
import type { World } from '../harness/world.ts'

/** Creates accounts with the usual commands: `invite` beside the portal, `join` over the network. */
export async function joinByLink(world: World, ...names: string[]): Promise<void> {
  for (const name of names) {
    const invited = await world.run('invite', name, '--data', world.dataFolder)
    expect(invited, invited.stderr).toMatchObject({ code: 0 })
    const joined = await world.run('join', invited.stdout.trim())
    expect(joined, joined.stderr).toMatchObject({ code: 0 })
  }
}

/** Joins by a request of the test, from an address of this machine, with a claimed forwarding header. */
export async function joinFrom(world: World, url: string, forwardedFor: string, localAddress: string): Promise<void> {
  const ledger = await openLedger({ dataFolder: world.dataFolder })
  const secret = await invite(ledger, `who-${randomUUID()}`, 60_000).finally(() => ledger.close())
  const body = JSON.stringify({ invite: secret, token: newToken() })
  const headers = { 'content-type': 'application/json', 'x-forwarded-for': forwardedFor }
  const { request } = url.startsWith('https:') ? https : http
  const options = { method: 'POST', headers, localAddress, rejectUnauthorized: false }
  const status = await new Promise((resolve, reject) => {
    request(`${url}/v1/join`, options, (response) => resolve(response.resume().statusCode))
      .on('error', reject)
      .end(body)
  })
  expect(status).toBe(200)
}
