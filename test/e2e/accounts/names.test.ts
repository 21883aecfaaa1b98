/** Accounts may have the names of properties that every JavaScript object has. They work like all others. */
import { expect, test } from 'vitest'
import { sha256Of, World } from '../harness/world.ts'

const [sender, ...receivers] = ['constructor', 'tostring', 'valueof', 'hasownproperty'] as const
const offline = 'prototype'

test('accounts called constructor, tostring, valueof and hasownproperty send, receive, list, verify receipts and cancel', async () => {
  await using world = await World.create()
  await world.portal()
  await world.join([sender, ...receivers, offline])
  await Promise.all(receivers.map((name) => world.receiver(name)))
  const by = (name: string) => ['--profile', name]
  const to = ['--to', receivers.join(',')]

  for (const [file, sizeBytes, flags] of [
    ['sealed.bin', 2_500_000, []],
    ['small.bin', 5, []],
    ['plain.bin', 300_000, ['--plain']],
  ] as const) {
    const path = await world.file(file, sizeBytes)
    const sent = world.start(['send', path, ...to, ...by(sender), '--json', ...flags])
    const { code, stderr } = await sent.ended
    expect(code, stderr).toBe(0)
    const told = sent.json.filter(({ notification }) => notification === 'delivered').map(({ receiver }) => receiver)
    expect(told.sort()).toEqual([...receivers].sort())
    for (const name of receivers) expect(await sha256Of(`${world.inbox(name)}/${file}`)).toBe(await sha256Of(path))
  }

  const list = await world.run('status', ...by(sender))
  for (const file of ['sealed.bin', 'small.bin', 'plain.bin']) expect(list.stdout).toContain(`${file} to `)
  for (const name of receivers) {
    const came = await world.run('status', '--received', ...by(name))
    expect(came.code, came.stderr).toBe(0)
    for (const file of ['sealed.bin', 'small.bin', 'plain.bin']) expect(came.stdout).toContain(`${file} from ${sender}`)
    expect((await world.run('contacts', ...by(name))).stdout).toContain(`${sender} `)
  }
  const known = await world.run('contacts', ...by(sender))
  for (const name of receivers) expect(known.stdout).toContain(`${name} `)

  const client = await world.client(sender)
  const { transfers } = await client.transfers()
  expect(transfers.map(({ state }) => state)).toEqual(['ended', 'ended', 'ended'])
  expect((await client.events()).events).toHaveLength(3 * (1 + receivers.length))
  const transferId = transfers.at(-1)?.transferId ?? ''
  for (const name of receivers) {
    const saved = world.path(`${name}.receipt`)
    const receipt = await world.run('receipt', transferId, '--receiver', name, '--out', saved, ...by(sender))
    expect(receipt.code, receipt.stderr).toBe(0)
    const proven = await world.run('verify', world.path('files', 'sealed.bin'), '--receipt', saved)
    expect(proven.stdout).toContain(`proven: ${name} received`)
  }

  const path = await world.file('waits.bin', 100)
  const waiting = world.start(['send', path, '--to', offline, ...by(sender), '--json', '--no-wait'])
  expect((await waiting.ended).code).toBe(0)
  const waitingId = String(waiting.json.find((line) => line.notification === 'stored')?.transferId)
  expect((await world.run('cancel', waitingId, ...by(sender))).code).toBe(0)
  const cancelled = await (await world.client(offline)).deliveries()
  expect(cancelled.deliveries).toEqual([])
})
