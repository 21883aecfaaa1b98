/** Webhooks by the command line and a real portal, which is killed at any moment. */
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { newTransferId } from '../../../src/protocol/index.ts'
import { Receiver } from '../../servers/webhook-receiver.ts'
import { randomInt } from '../../suites/random.ts'
import { World } from '../harness/world.ts'

const local = ['--webhook-networks', '127.0.0.1']
const alice = ['--profile', 'alice']

/** Until the receiver has the secret of the webhook, it knows another one. */
async function addTo(world: World, port: number, ...args: string[]): Promise<{ webhookId: string; secret: string }> {
  const added = await world.run('webhook', 'add', `http://127.0.0.1:${port}/hook`, '--json', ...args, ...alice)
  expect(added.code, added.stderr).toBe(0)
  return JSON.parse(added.stdout)
}

async function freePort(): Promise<number> {
  const receiver = await Receiver.start('whsec_AAAA')
  await receiver.stop()
  return receiver.port
}

describe('golooader webhook', () => {
  test('adds, lists, tests, shows and removes', async () => {
    await using world = await World.create()
    await world.portal(local)
    await world.join(['alice', 'bob'])
    const port = await freePort()
    const { webhookId, secret } = await addTo(world, port, '--on', 'stored,failed')
    expect((await world.run('webhook', ...alice)).stdout).toContain(
      `${webhookId}  active\n  failed, stored to http://127.0.0.1:${port}/hook`,
    )

    const away = await world.run('webhook', 'test', webhookId, ...alice)
    expect([away.code, away.stdout]).toEqual([3, 'failed: the connection failed (ECONNREFUSED)\n'])
    const receiver = await Receiver.start(secret, port)
    expect((await world.run('webhook', 'test', webhookId, ...alice)).stdout).toBe('delivered: HTTP status 204\n')
    expect(receiver.received).toMatchObject([{ fault: null, body: { type: 'webhook.test', data: { webhookId } } }])

    const sent = await world.send(await world.file('a.bin', 1000), 'bob', '--no-wait').notification('stored')
    const [, stored] = await receiver.until((all) => all.length >= 2)
    expect(stored).toMatchObject({
      fault: null,
      body: { type: 'transfer.stored', data: { transferId: sent.transferId } },
    })
    expect(JSON.stringify(stored)).not.toContain('a.bin')
    await expect
      .poll(async () => (await world.run('webhook', 'log', webhookId, ...alice)).stdout, { timeout: 60_000 })
      .toContain(`transfer.stored ${sent.transferId}  delivered: HTTP status 204`)

    expect((await world.run('webhook', 'remove', webhookId, ...alice)).stdout).toContain('nothing more is posted')
    const again = await world.run('webhook', 'remove', webhookId, ...alice)
    expect([again.code, again.stderr]).toEqual([4, expect.stringContaining('no such webhook of yours')])
    expect((await world.run('webhook', ...alice)).stdout).toContain('no webhooks yet')
  })

  test('says what is wrong', async () => {
    await using world = await World.create()
    await world.portal()
    await world.join(['alice'])
    const add = (...args: string[]) => world.run('webhook', 'add', ...args, ...alice)
    for (const [args, said] of [
      [['http://127.0.0.1/'], 'it has to begin with https://'],
      [['https://10.0.0.1/'], 'its network is not allowed. The operator allows networks with'],
      [['https://hooks.example/', '--on', 'lost'], "'lost' is no notification"],
      [['https://hooks.example/', '--whole-portal'], 'Only an operator may have a webhook for the whole portal'],
    ] as const) {
      const { code, stderr } = await add(...args)
      expect(code, args.join(' ')).not.toBe(0)
      expect(stderr).toContain(said)
    }
  })
})

test('a portal that is killed again and again loses no message, and keeps the order of each transfer', async () => {
  await using world = await World.create()
  let portal = await world.portal(local)
  await world.join(['alice', 'bob'])
  const port = await freePort()
  const { secret } = await addTo(world, port, '--on', 'stored,failed')
  const receiver = await Receiver.start(secret, port)
  const authorization = `Bearer ${await world.token('alice')}`
  /** Asks until there is an answer. */
  const ask = async (method: string, path: string, init: RequestInit = {}): Promise<void> => {
    for (;;) {
      try {
        const headers = { authorization, ...init.headers }
        const { status } = await fetch(`${world.portalUrl}${path}`, { method, ...init, headers })
        if (status === 200) return
      } catch {
        // It is dead, or was killed before it answered.
      }
      await setTimeout(20)
    }
  }
  let isOver = false
  const killing = (async () => {
    for (let count = 0; count < 8 && !isOver; count++) {
      // Another moment each time.
      const delayMs = randomInt(150)
      console.log(`kill ${count + 1} after ${delayMs} ms`)
      await setTimeout(delayMs)
      await portal.stop('SIGKILL')
      portal = await world.portal(local)
    }
  })()
  const transferIds: string[] = []
  for (let count = 0; count < 40; count++) {
    const transferId = newTransferId()
    const headers = { 'idempotency-key': transferId, prefer: 'wait=0' }
    await ask('PUT', '/v1/to/bob/note.txt', { body: `note ${count}`, headers })
    await ask('DELETE', `/v1/transfers/${transferId}`)
    transferIds.push(transferId)
  }
  isOver = true
  await killing
  const seen = (all: Receiver['received']): Set<string> =>
    new Set(all.map(({ body }) => `${body.data.transferId} ${body.data.notification}`))
  const all = await receiver.until((received) => seen(received).size >= 2 * transferIds.length)
  expect(all.filter(({ fault }) => fault !== null)).toEqual([])
  for (const transferId of transferIds) {
    const told = all.filter(({ body }) => body.data.transferId === transferId)
    const firstOf = (kind: string): number => told.findIndex(({ body }) => body.data.notification === kind)
    expect(firstOf('stored')).toBe(0)
    expect(firstOf('failed')).toBeGreaterThan(0)
    expect(new Set(told.map(({ id }) => id)).size, 'a repetition has the same id').toBe(2)
  }
})
