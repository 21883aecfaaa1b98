/** Folders at the limits of a tree, in real processes: as deep, with paths as long, and as many entries in one folder as it may have. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { treeDepthMax, treePathBytesMax } from '../../../src/tree/index.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { World } from '../harness/world.ts'

/** The length of all names of a path but the last one. */
const NAME_BYTES = 14
/** With it a path of 256 names has 3925 bytes, which leaves room for the place of a folder at either end. */
const LAST_NAME_BYTES = 100
const ENTRIES = 100_000

describe('in one world', () => {
  let world: World
  let network: FaultyNetwork
  beforeAll(async () => {
    world = await World.create({ isShared: true })
    network = await FaultyNetwork.open(() => world.portalUrl)
    await world.portal()
    await world.join(['alice', 'bob'], { alice: network })
    await world.receiver('bob')
  })
  afterAll(async () => {
    await network[Symbol.asyncDispose]()
    await world[Symbol.asyncDispose]()
  })

  /** Makes a folder with one file, whose path has so many names. @returns the path of the file in the tree */
  function makeDeep(names: number, letter: string): string {
    const folders = Array.from({ length: names - 1 }, () => letter.repeat(NAME_BYTES))
    const inTree = [...folders, letter.repeat(LAST_NAME_BYTES)].join('/')
    const path = world.path('files', inTree)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, 'deep')
    return inTree
  }

  /** Sends a folder, and expects that it is refused before anything travels. */
  async function expectRefused(folder: string, detail: RegExp, ...args: string[]): Promise<void> {
    const from = network.seen.length
    const { code, stderr } = await world.send(folder, 'bob', ...args).ended
    expect(code, stderr).toBe(2)
    expect(stderr).toMatch(detail)
    expect(network.seen.slice(from)).toEqual([])
  }

  test('a path of 256 names and nearly 4095 bytes arrives', async () => {
    const path = makeDeep(treeDepthMax, 'd')
    const name = 'd'.repeat(NAME_BYTES)
    const { code, stderr } = await world.send(world.path('files', name), 'bob').ended
    expect(code, stderr).toBe(0)
    execFileSync('diff', ['-r', world.path('files', name), join(world.inbox('bob'), name)])
    expect(Buffer.byteLength(path)).toBe(3925)
  })

  test('a path of 257 names is refused before anything travels', async () => {
    makeDeep(treeDepthMax + 1, 'e')
    await expectRefused(world.path('files', 'e'.repeat(NAME_BYTES)), /the path is deeper than 256 names/)
  })

  test('a path of more than 4095 bytes is refused before anything travels', async () => {
    const path = makeDeep(treeDepthMax - 1, 'f')
    // The name of the delivery becomes the first one of the path.
    const name = 'n'.repeat(treePathBytesMax + 1 - Buffer.byteLength(path) + NAME_BYTES)
    await expectRefused(world.path('files', 'f'.repeat(NAME_BYTES)), /the path is longer than 4095 bytes/, '--as', name)
  })

  test('100,000 files in one folder arrive', async () => {
    const folder = world.path('files/crowd')
    mkdirSync(folder, { recursive: true })
    for (let number = 0; number < ENTRIES; number++) closeSync(openSync(join(folder, `file ${number}`), 'wx'))
    const sending = world.send(folder, 'bob')
    const { code, stderr } = await sending.ended
    expect(code, stderr).toBe(0)
    expect(sending.json).toContainEqual(expect.objectContaining({ tree: { fileCount: ENTRIES, contentBytes: 0 } }))
    expect(new Set(readdirSync(join(world.inbox('bob'), 'crowd')))).toEqual(new Set(readdirSync(folder)))
  })
})
