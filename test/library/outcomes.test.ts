/** Programs that act on the outcome of a file, `onOutcome`, and die or fail while they do. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { type Running, World } from '../e2e/harness/world.ts'
import { startProgram } from './program.ts'

async function scene(...args: string[]): Promise<World> {
  const world = await World.create()
  await world.portal(args)
  await world.join(['alice', 'bob'])
  await world.file('a.bin', 1000)
  return world
}

/** Sends the file as alice. `act` is the body of `onOutcome(outcome)`. */
async function sending(
  world: World,
  act: string,
  { path: file = 'files/a.bin', ...options }: { path?: string; to?: string; until?: 'stored' } = {},
): Promise<Running> {
  const path = world.path(`program-${Math.random().toString(36).slice(2)}.mjs`)
  await writeFile(
    path,
    `import { openProfile } from 'golooader'
    import { appendFileSync } from 'node:fs'
    await using me = await openProfile()
    const onOutcome = async (outcome) => { ${act} }
    const record = (outcome) => appendFileSync('outcomes', JSON.stringify(outcome) + '\\n')
    try {
      console.log(JSON.stringify({ type: 'value', value: await me.send('${file}', { to: 'bob', onOutcome, ...${JSON.stringify(options)} }) }))
    } catch (error) {
      console.log(JSON.stringify({ type: 'error', message: error.message }))
    }`,
  )
  return startProgram(world, [path], 'alice')
}

interface Recorded {
  readonly outcome: string
  readonly transferId: string
}

async function recorded(world: World): Promise<Recorded[]> {
  const lines = (await readFile(world.path('outcomes'), 'utf8')).trim().split('\n')
  return lines.map((line) => JSON.parse(line))
}

test('a program hears of "stored" and then of "delivered", each before the call resolves', async () => {
  await using world = await scene()
  await world.receiver('bob')
  const running = await sending(world, 'await new Promise(setImmediate); record(outcome)')
  const { value } = await running.object(({ type }) => type === 'value')
  expect((await recorded(world)).map(({ outcome }) => outcome)).toEqual(['stored', 'delivered'])
  expect(value).toEqual([(await recorded(world))[1]])
})

test.each(['stored', 'delivered'])(
  'a program that is killed while it acts on "%s" hears of it again',
  async (which) => {
    await using world = await scene()
    await world.receiver('bob')
    const dying = `if (outcome.outcome === '${which}') process.kill(process.pid, 'SIGKILL')`
    expect((await (await sending(world, `record(outcome); ${dying}`)).ended).code).toBe(137)
    const before = await recorded(world)

    const again = await sending(world, 'record(outcome)')
    await again.object(({ type }) => type === 'value')
    const after = (await recorded(world)).slice(before.length)
    expect(after.map(({ outcome }) => outcome)).toEqual(['stored', 'delivered'])
    expect(new Set([...before, ...after].map(({ transferId }) => transferId)).size).toBe(1)
    expect(await world.received('bob')).toEqual(['a.bin'])
  },
)

test('an error of the program rejects the call, and the next call resumes the same transfer', async () => {
  await using world = await scene()
  const failing = await sending(world, `record(outcome); throw new Error('no disk')`, { until: 'stored' })
  expect(await failing.object(({ type }) => type === 'error')).toMatchObject({ message: 'no disk' })
  const again = await sending(world, 'record(outcome)', { until: 'stored' })
  await again.object(({ type }) => type === 'value')
  const [first, second] = await recorded(world)
  expect(second).toEqual(first)
})

test.each([
  ['a file that the portal refuses', 'files/a.bin', 'bob'],
  ['a receiver that the portal does not know', 'files/small.bin', 'nobody'],
])('%s is told, too', async (_what, path, to) => {
  await using world = await scene('--max-transfer', '500')
  await world.file('small.bin', 10)
  const running = await sending(world, 'record(outcome)', { path, to })
  const { value } = await running.object(({ type }) => type === 'value')
  expect(value).toMatchObject([{ outcome: 'refused' }])
  expect(await recorded(world)).toEqual(value)
})
