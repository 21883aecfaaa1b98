// @tier stress
/** Twenty thousand small files in a drop folder: each is sent once, the oldest first, within bounded memory and descriptors. */
import { readdirSync, readFileSync, utimesSync } from 'node:fs'
import { expect, test } from 'vitest'
import { watchMemoryPeak } from '../harness/memory.ts'
import { until } from '../harness/world.ts'
import { Outbox, outboxWorld } from './scene.ts'

const FILES = 20_000
/** At first half of them wait for a receiver that is offline. */
const WAITING_MAX = 5_000
/** 450 MB were measured: the program itself, about 40 MB for the files that are followed, and 14 KB for each that waits. */
const PEAK_BYTES_MAX = 550 * 1024 * 1024
const DESCRIPTORS_MAX = 400

test('20,000 small files, of which thousands wait for an offline receiver', async () => {
  await using world = await outboxWorld()
  const outbox = new Outbox(world)
  for (let index = 0; index < FILES; index++) {
    outbox.write(`f${index}`, `content ${index}`)
    utimesSync(outbox.path(`f${index}`), 1_600_000_000 + index, 1_600_000_000 + index)
  }
  const watch = await outbox.watch()
  using peak = watchMemoryPeak(watch)
  const count = (isIt: (line: string) => boolean): number => watch.lines.filter(isIt).length
  const isStored = (line: string): boolean => line.includes('"notification":"stored"')
  await until(() => count(isStored) >= WAITING_MAX, 'as many wait as may')
  const started = watch.lines
    .filter((line) => line.startsWith('{"type":"started"'))
    .map((line) => JSON.parse(line).path)
  const numbers = started.slice(0, 256).map((path) => Number(/f(\d+)$/.exec(path)?.[1]))
  expect(Math.max(...numbers)).toBeLessThan(512)
  expect(readdirSync(`/proc/${watch.child.pid}/fd`).length).toBeLessThan(DESCRIPTORS_MAX)

  await world.receiver('bob')
  await until(() => count((line) => line.startsWith('{"type":"ended"')) === FILES, 'all have ended', 800_000)
  expect(peak.bytes).toBeLessThan(PEAK_BYTES_MAX)
  expect(await world.received('bob')).toHaveLength(FILES)
  expect(readFileSync(`${world.inbox('bob')}/f777`, 'utf8')).toBe('content 777')
  expect(outbox.notes).toHaveLength(FILES)
  expect(Object.keys(outbox.files).filter((path) => !path.startsWith('sent/'))).toEqual([])
  expect(new Set(watch.json.filter(({ type }) => type === 'ended').map((one) => one.transferId)).size).toBe(FILES)
})
