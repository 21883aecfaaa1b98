/** A portal continues after a backup and is then restored from it, by the commands of docs/backup.md. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { expect } from 'vitest'
import { RemoteProblem } from '../../../src/client/index.ts'
import { type JsonLine, type Running, sha256Of, World } from '../harness/world.ts'
import { MIB, type Sent, startSending, store } from '../second-hop/scene.ts'

/** How a portal is stopped, started, backed up and restored. */
export interface Ground {
  readonly world: World
  start(flags?: readonly string[]): Promise<Running>
  backUp(): Promise<void>
  restore(): Promise<void>
}

/** Runs the commands under a heading of docs/backup.md. */
export async function runDocumented(heading: string, env: Readonly<Record<string, string>>): Promise<void> {
  const page = readFileSync(new URL('../../../docs/backup.md', import.meta.url), 'utf8')
  const section = page.split(/^#+ /m).find((one) => one.startsWith(`${heading}\n`))
  const commands = /^```sh\n([\s\S]*?)^```$/m.exec(section ?? '')?.[1]
  if (commands === undefined) throw new Error(`docs/backup.md has no commands under "${heading}"`)
  const path = [env.PATH, process.env.PATH].filter((one) => one !== undefined).join(':')
  await promisify(execFile)('sh', ['-euc', commands], { env: { ...env, PATH: path } })
}

/** A portal with a data folder. @param what the page has commands for */
export async function dataFolder(what = 'a data folder'): Promise<Ground & AsyncDisposable> {
  const world = await World.create()
  const env = { DATA: world.dataFolder, BACKUP: world.path('backup') }
  return {
    world,
    start: (flags) => world.portal(flags),
    backUp: () => runDocumented(`Back up ${what}`, env),
    restore: () => runDocumented(`Restore ${what}`, env),
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

/** The last output of a sender's process. */
export async function outcomeOf(
  sending: Running,
): Promise<{ code: number; last: JsonLine | undefined; stderr: string }> {
  const { code, stderr } = await sending.ended
  return { code, last: sending.json.at(-1), stderr }
}

interface History {
  /** Waits for carol; the backup knows it as stored. */
  readonly known: Sent & { readonly sending: Running }
  /** The backup knows it as stored; bob has received it since. */
  readonly received: Sent
  /** Waits for carol; stored after the backup. */
  readonly unknown: Sent & { readonly sending: Running }
  /** The id of the newest event before the restore. */
  readonly lostEventId: string
}

/** Changes things before and after a backup, and restores it. When this resolves, the portal serves again. */
async function restored({ world, start, backUp, restore }: Ground): Promise<History> {
  let portal = await start()
  await world.join(['alice', 'bob', 'carol'])
  const known = await startSending(world, 'known.bin', 3, 'carol')
  await known.sending.notification('stored')
  const received = await store(world, 'received.bin', 3, 'bob')
  await portal.stop()
  await backUp()

  portal = await start()
  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  await bob.stop()
  const unknown = await startSending(world, 'unknown.bin', 3, 'carol')
  await unknown.sending.notification('stored')
  const lostEventId = (await (await world.client('alice')).events()).after
  await portal.stop()
  await restore()
  await start()
  return { known, received, unknown, lostEventId }
}

/** The promises of docs/backup.md for this set-up. */
export async function expectNothingUntold(ground: Ground): Promise<void> {
  const { world } = ground
  const { known, received, unknown, lostEventId } = await restored(ground)

  // Lost transfers are reported, and no command waits for them.
  const lost = await outcomeOf(unknown.sending)
  expect(lost.last).toMatchObject({
    exitCode: 5,
    transfers: [
      { transferId: unknown.transferId, outcome: 'no-answer', problem: { code: 'transfer-lost', status: 410 } },
    ],
  })
  expect(lost.code).toBe(5)
  const alice = await world.client('alice')
  await expectUnknownEvent(alice.events({ after: lostEventId }), lostEventId)

  // Transfers that the backup knows end normally.
  await world.receiver('carol')
  expect(await outcomeOf(known.sending)).toMatchObject({ code: 0, last: { transfers: [{ outcome: 'delivered' }] } })
  expect(await world.received('carol')).toEqual(['known.bin'])

  // Sent again, it is the same transfer.
  const again = world.send(unknown.path, 'carol', '--part-size', '1MiB')
  expect(await outcomeOf(again)).toMatchObject({
    code: 0,
    last: { transfers: [{ transferId: unknown.transferId, outcome: 'delivered' }] },
  })
  for (const [name, { path }] of Object.entries({ 'known.bin': known, 'unknown.bin': unknown })) {
    expect(await sha256Of(`${world.inbox('carol')}/${name}`)).toBe(await sha256Of(path))
  }
  expect(await world.received('carol')).toEqual(['known.bin', 'unknown.bin'])

  // A receiver answers again for the file that it has, and keeps one copy.
  const bob = await world.receiver('bob')
  await bob.object((value) => value.type === 'received')
  expect(await world.received('bob')).toEqual(['received.bin'])
  expect(await alice.transfer(received.transferId)).toMatchObject({
    state: 'ended',
    deliveries: [{ state: 'delivered' }],
  })

  // New events have the numbers of the lost ones, and clients do not confuse them.
  const { events } = await alice.events()
  expect(Number(events.at(-1)?.eventId)).toBeGreaterThan(Number(lostEventId))
  await expectUnknownEvent(alice.events({ after: lostEventId }), lostEventId)
}

export async function expectUnknownEvent(asking: Promise<unknown>, eventId: string): Promise<void> {
  const error = await asking.then(
    () => null,
    (cause: unknown) => cause,
  )
  if (!(error instanceof RemoteProblem)) throw new Error(`no problem but ${error}`)
  expect(error.problem).toMatchObject({ code: 'event-unknown', status: 410, eventId })
}

export { MIB }
