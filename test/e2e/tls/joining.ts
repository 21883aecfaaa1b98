import { expect } from 'vitest'
import type { World } from '../harness/world.ts'

/** Opens accounts with the commands that people use: `invite` beside the portal, `join` over the network. */
export async function joinByLink(world: World, ...names: string[]): Promise<void> {
  for (const name of names) {
    const invited = await world.run('invite', name, '--data', world.dataFolder)
    expect(invited, invited.stderr).toMatchObject({ code: 0 })
    const joined = await world.run('join', invited.stdout.trim())
    expect(joined, joined.stderr).toMatchObject({ code: 0 })
  }
}
