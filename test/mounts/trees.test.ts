/** Folders that are received on file systems that cannot keep all of them. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { World } from '../e2e/harness/world.ts'
import { treeIn } from '../receiver/receive-tree.ts'
import { mount, whyNot } from './mounts.ts'

test('on a disk without symbolic links a folder arrives without them, and each is named', async () => {
  const reason = whyNot('exfat-fuse')
  if (reason !== null) return console.log(`not tested: ${reason}`)
  await using mounted = await mount('exfat-fuse')
  expect(() => symlinkSync('target', join(mounted.folder, 'link'))).toThrow()
  await using world = await World.create()
  await world.portal()
  await world.join(['alice', 'bob'])
  mkdirSync(world.inbox('bob'), { recursive: true })
  const wrapper = ['unshare', '-m', 'sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"']
  const bob = await world.receiver('bob', [], { wrapper: [...wrapper, mounted.folder, world.inbox('bob')] })
  const folder = join(world.folder, 'photos')
  mkdirSync(join(folder, 'A'), { recursive: true })
  mkdirSync(join(folder, 'a'))
  writeFileSync(join(folder, 'A/upper'), '1')
  writeFileSync(join(folder, 'a/lower'), '2')
  for (let number = 0; number < 150; number++) symlinkSync('../A/upper', join(folder, 'a', `link ${number}`))

  const { code } = await world.send(folder, 'bob').ended
  expect(code).toBe(0)
  const received = await bob.object((event) => event.type === 'received')
  // This disk takes upper and lower case for the same, so that the two folders would meet.
  expect(treeIn(join(mounted.folder, 'photos'))).toEqual({ A: '/', 'A/upper': '1', 'a (1)': '/', 'a (1)/lower': '2' })
  const told = bob.json.filter(({ type }) => type === 'links-left-out')
  expect(told).toMatchObject([{ transferId: received.transferId, linkCount: 150 }])
  expect(told[0]?.paths).toHaveLength(100)
  expect(told[0]?.paths).toContain('a/link 0')
})
