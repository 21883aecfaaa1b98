/** Folders at the receiver, in real processes: one that arrives, and what a sender with an account and other plans can do. */
// @tier fast
import { lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { digestOf, manifestDigestOf } from '../../../src/digests/index.ts'
import { newTransferId, type TreeSize, treeMediaType } from '../../../src/protocol/index.ts'
import { settableTimeNs } from '../../../src/tree/index.ts'
import { forgedTree } from '../../receiver/forged-trees.ts'
import { treeIn } from '../../receiver/receive-tree.ts'
import { file, folder, link, someTimeNs, tarOf } from '../../tree/trees.ts'
import { until, World } from '../harness/world.ts'

const PART_BYTES = 65_536

async function scene() {
  const world = await World.create()
  await world.portal()
  await world.join(['mallory'], {}, { hasKeys: false })
  await world.join(['bob'])
  const client = await world.client('mallory')
  /** Sends a tar as a tree, request by request, as its account may. */
  const send = async (name: string, tar: Buffer, size: TreeSize): Promise<string> => {
    const transferId = newTransferId()
    const layout = { sizeBytes: tar.length, partSizeBytes: PART_BYTES, digestAlgorithm: 'sha-256' } as const
    await client.announce(transferId, { to: ['bob'], metadata: { name, mediaType: treeMediaType(size) }, ...layout })
    const digests: string[] = []
    for (let at = 0; at < tar.length; at += PART_BYTES) {
      const bytes = tar.subarray(at, at + PART_BYTES)
      const digest = digestOf('sha-256', bytes)
      digests.push(digest)
      await client.putPart(transferId, digests.length, { bytes, digest, digestAlgorithm: 'sha-256' })
    }
    await client.complete(transferId, { manifestDigest: manifestDigestOf('sha-256', digests), attempt: 1 })
    return transferId
  }
  return { world, send, client, own: join(world.inbox('bob'), '.golooader') }
}

test('a folder arrives as one: decided by its size, unpacked under its name, with its times', async () => {
  const { world, send } = await scene()
  await using _world = world
  const bob = await world.receiver('bob')
  const entries = [
    folder('photos'),
    file('photos/a:b.txt', 'renamed'),
    folder('photos/empty'),
    file('photos/large.bin', Buffer.alloc(1_000_000, 'large')),
    link('photos/link', 'large.bin'),
    file('photos/tool', '#!', { isExecutable: true }),
  ]
  const size = { fileCount: 3, contentBytes: 1_000_009 }
  for (const name of ['photos', 'photos (1)']) {
    const transferId = await send('photos.tar', tarOf(entries), size)
    const received = await bob.object((event) => event.type === 'received' && event.transferId === transferId)
    expect(received).toMatchObject({ name: 'photos', path: join(world.inbox('bob'), name), tree: size })
    expect(received).toMatchObject({ mediaType: 'application/x-tar', isRenamed: name !== 'photos' })
    const renamed = bob.json.filter((event) => event.type === 'entries-renamed' && event.transferId === transferId)
    expect(renamed).toMatchObject([{ renamed: [{ path: 'a:b.txt', writtenAs: 'a_b.txt' }] }])
    const unpacked = bob.json.filter((event) => event.type === 'fetching' && event.transferId === transferId).at(-1)
    expect(unpacked).toMatchObject({ unpacked: { ...size, path: 'photos/tool' } })
  }
  const found = treeIn(join(world.inbox('bob'), 'photos'))
  expect(Object.keys(found)).toEqual(['a_b.txt', 'empty', 'large.bin', 'link', 'tool'])
  expect(found.link).toBe('-> large.bin')
  for (const path of ['', 'empty', 'link', 'tool']) {
    const { mtimeNs } = lstatSync(join(world.inbox('bob'), 'photos', path), { bigint: true })
    expect([path, mtimeNs]).toEqual([path, settableTimeNs(someTimeNs)])
  }
})

test('a hostile archive is refused, its sender is told why, and nothing of it stays anywhere', async () => {
  const { world, send, client, own } = await scene()
  await using _world = world
  const bob = await world.receiver('bob')
  const one = { fileCount: 1, contentBytes: 1 }
  const hostile = {
    'leads-out.tar': forgedTree([{ name: 'photos/../../evil', content: 'x' }]),
    'absolute.tar': forgedTree([{ name: `${world.folder}/evil`, content: 'x' }]),
    'link-out.tar': forgedTree([
      { name: 'photos/out', type: '2', linkName: '../..' },
      { name: 'photos/out/evil', content: 'x' },
    ]),
    'more-than-announced.tar': forgedTree([{ name: 'photos/a', content: 'x'.repeat(500_000) }]),
    'device.tar': forgedTree([{ name: 'photos/disk', type: '4' }]),
    'no-tar.tar': Buffer.alloc(200_000, 'x'),
  }
  for (const [name, tar] of Object.entries(hostile)) {
    const transferId = await send(name, tar, one)
    const refused = await bob.object((event) => event.type === 'refused' && event.transferId === transferId)
    expect(refused).toMatchObject({ problem: { code: 'tree-invalid' } })
    await until(async () => (await client.transfer(transferId)).state === 'ended', 'its sender can know')
    const { deliveries } = await client.transfer(transferId)
    expect(deliveries).toMatchObject([{ state: 'failed', problem: { code: 'tree-invalid' } }])
  }
  expect(await world.received('bob')).toEqual([])
  expect(readdirSync(own).sort()).toEqual(['instance', 'lock', 'received'])
  expect(readdirSync(world.folder)).not.toContain('evil')
  expect(readdirSync(join(world.folder, 'inbox'))).toEqual(['bob'])
})

test('a receiver that is killed while it unpacks has the folder once, after its next start', async () => {
  const { world, send } = await scene()
  await using _world = world
  const files = Array.from({ length: 400 }, (_, index) => file(`photos/${1000 + index}`, Buffer.alloc(4096, 'x')))
  const size = { fileCount: files.length, contentBytes: files.length * 4096 }
  const bob = await world.receiver('bob')
  const sending = send('photos.tar', tarOf([folder('photos'), ...files]), size)
  await bob.object((event) => event.type === 'fetching')
  await bob.stop('SIGKILL')
  const transferId = await sending
  const again = await world.receiver('bob')
  await again.object((event) => event.type === 'received' && event.transferId === transferId)
  expect(await world.received('bob')).toEqual(['photos'])
  expect(Object.keys(treeIn(join(world.inbox('bob'), 'photos'))).length).toBe(files.length)
})
