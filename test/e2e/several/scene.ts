/** What the tests of several portals have in common: looks at what came of transfers, wherever they went through. */
import { expect } from 'vitest'
import { parseS3Address } from '../../../src/portal/store/s3/address.ts'
import { s3Store } from '../../../src/portal/store/s3.ts'
import type { TestBucket } from '../../servers/radosgw.ts'
import { type Running, sha256Of, until, type World } from '../harness/world.ts'

export const MIB = 1024 * 1024

/** A sender is told each thing once, and the receiver has the file once, as it was sent. */
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

/** Resolves when nothing is left in a bucket: all is delivered, and what was late has been removed. */
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

/** Resolves once a sender has so many bytes acknowledged. */
export async function acknowledged(sending: Running, bytes: number): Promise<void> {
  await sending.object((line) => line.phase === 'uploading' && Number(line.acknowledgedBytes) >= bytes)
}

/** Resolves once a receiver has so many bytes. */
export async function fetched(sending: Running, bytes: number): Promise<void> {
  await sending.object((line) => line.phase === 'fetching' && Number(line.fetchedBytes) >= bytes)
}

/** How many receivers hang on a node. */
export async function inboxesOf({ url }: { readonly url: string }): Promise<number> {
  const answer = await fetch(`${url}/metrics`)
  return Number(/^golooader_inboxes (\d+)$/m.exec(await answer.text())?.[1])
}
