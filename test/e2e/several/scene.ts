/** Shared checks for tests of several portals: the results of transfers through any node. */
import { expect } from 'vitest'
import { parseS3Address } from '../../../src/portal/store/s3/address.ts'
import { s3Store } from '../../../src/portal/store/s3.ts'
import type { TestBucket } from '../../servers/radosgw.ts'
import { type Running, sha256Of, until, type World } from '../harness/world.ts'

export const MIB = 1024 * 1024

/** A sender gets each notification once, and the receiver has the file once, unchanged. */
export async function expectDeliveredOnce(
  world: World,
  sending: Running,
  path: string,
  receiver = 'bob',
): Promise<void> {
  const { code, stderr } = await sending.ended
  expect(code, stderr).toBe(0)
  const notifications = sending.json.filter((line) => line.type === 'notification').map((line) => line.notification)
  expect(notifications.filter((one) => one !== 'resend')).toEqual(['stored', 'delivered'])
  const name = path.slice(path.lastIndexOf('/') + 1)
  expect((await world.received(receiver)).filter((one) => one.startsWith(name))).toEqual([name])
  expect(await sha256Of(`${world.inbox(receiver)}/${name}`)).toBe(await sha256Of(path))
}

/** Resolves when a bucket is empty: everything is delivered, and late parts have been removed. */
export async function expectEmptied({ address, env }: Pick<TestBucket, 'address' | 'env'>): Promise<void> {
  Object.assign(process.env, env)
  const store = await s3Store(parseS3Address(address))
  try {
    await until(async () => {
      for await (const _held of store.held()) return false
      return true
    }, 'the bucket is empty')
  } finally {
    await store.close()
  }
}

/** Resolves once that many bytes of a sender are acknowledged. */
export async function acknowledged(sending: Running, bytes: number): Promise<void> {
  await sending.object((line) => line.phase === 'uploading' && Number(line.acknowledgedBytes) >= bytes)
}

/** Resolves once a receiver has that many bytes. */
export async function fetched(sending: Running, bytes: number): Promise<void> {
  await sending.object((line) => line.phase === 'fetching' && Number(line.fetchedBytes) >= bytes)
}

/** The number of receivers that are connected to a node. */
export async function inboxesOf({ url }: { readonly url: string }): Promise<number> {
  const answer = await fetch(`${url}/metrics`)
  return Number(/^golooader_inboxes (\d+)$/m.exec(await answer.text())?.[1])
}
