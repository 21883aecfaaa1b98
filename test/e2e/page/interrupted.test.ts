/**
 * Tabs close, browsers crash, portals restart. Acknowledged data is neither sent twice nor lost, and the page claims
 * nothing too early.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { chromiumTest } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { until } from '../harness/world.ts'
import {
  expectArrived,
  heldBytes,
  holdPartsAfter,
  MIB,
  PART_BYTES,
  type Scene,
  sceneWith,
  sentPart,
  statusOf,
  timesSent,
  transfersOf,
} from './visit.ts'

/** The only transfer of the visitor. */
async function onlyTransferId(visitor: Visitor): Promise<string> {
  const transfers = await transfersOf(visitor)
  expect(transfers.length).toBe(1)
  return transfers[0]?.transferId ?? ''
}

/** Chooses the same file again, and checks that the page sends only the missing parts. */
async function goOn(visitor: Visitor, scene: Scene, path: string, transferId: string): Promise<void> {
  const { page } = visitor
  await page.getByRole('heading', { name: 'Unfinished' }).waitFor()
  await page.locator(`input[data-for="${transferId}"]`).setInputFiles(path)
  const card = visitor.card('large.bin')
  await card.phase('ended')
  await card.says('Delivered to bob: arrived, intact, receipt verified.')
  expect(await onlyTransferId(visitor)).toBe(transferId)
  expect([timesSent(scene.network, 1), timesSent(scene.network, 2)]).toEqual([1, 1])
  await expectArrived(scene.world, 'bob', 'large.bin', path)
  expect(await scene.world.received('bob')).toEqual(['large.bin'])
  expect(await page.getByRole('heading', { name: 'Unfinished' }).count()).toBe(0)
}

test('a page that is reloaded during an upload continues once the user chooses the same file again', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  await world.receiver('bob')
  const release = holdPartsAfter(network, 2)
  const visitor = await scene.visit('carol')
  const path = await world.file('large.bin', 3 * PART_BYTES)
  await visitor.send([path], ['bob'])
  await visitor.card('large.bin').says(/The portal has 16\.0 MiB of 24\.0 MiB/)
  const transferId = await onlyTransferId(visitor)
  await visitor.page.reload()
  await visitor.isMember()
  release()
  const { page } = visitor
  await page.getByText('Choose the same file again to resume.').waitFor()
  const wrong = page.locator(`input[data-for="${transferId}"]`)
  await wrong.setInputFiles(await world.file('other.bin', 10))
  await page.getByText('This is another file: other.bin.').waitFor()
  await goOn(visitor, scene, path, transferId)
})

test('a browser that is killed during an upload continues when it starts again', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  await world.receiver('bob')
  const release = holdPartsAfter(network, 2)
  const profileFolder = await mkdtemp(join(tmpdir(), 'golooader-visit-'))
  onTestFinished(() => rm(profileFolder, { recursive: true, force: true, maxRetries: 10 }))
  const killed = await scene.visit('carol', { profileFolder })
  const path = await world.file('large.bin', 3 * PART_BYTES)
  await killed.send([path], ['bob'])
  await killed.card('large.bin').says(/The portal has 16\.0 MiB of 24\.0 MiB/)
  const transferId = await onlyTransferId(killed)
  await killed.kill()
  release()

  const visitor = await openVisit({ profileFolder })
  await visitor.open(network.url)
  await visitor.isMember()
  await goOn(visitor, scene, path, transferId)
})

chromiumTest('an upload continues by itself after the portal was killed and restarted', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  const release = holdPartsAfter(network, 1)
  const visitor = await scene.visit('carol')
  const path = await world.file('large.bin', 3 * PART_BYTES)
  await visitor.send([path], ['bob'])
  const card = visitor.card('large.bin')
  await card.says(/The portal has 8\.0 MiB of 24\.0 MiB/)
  await scene.portal.stop('SIGKILL')
  release()
  await card.phase('silent')
  await card.says('The portal does not answer, and does not have the whole file yet. This page retries automatically.')
  await visitor.page.getByText('no connection, trying again…').waitFor()
  expect(await card.firstHopShare()).toBeLessThanOrEqual(1 / 3)
  // Without an answer from the portal the page does not claim that the history is empty.
  await visitor.goTo('History')
  await visitor.page.getByText('The portal does not answer. The list reloads when it does.').waitFor()
  await world.portal()
  await visitor.page.getByRole('link', { name: /large\.bin/ }).waitFor()
  await visitor.goTo('Send')
  await world.receiver('bob')
  await card.phase('ended')
  await card.says('receipt verified')
  expect(timesSent(network, 1)).toBe(1)
  await expectArrived(world, 'bob', 'large.bin', path)
  await visitor.page.getByText('no connection').waitFor({ state: 'detached' })
})

chromiumTest('the picture never shows more than the portal has acknowledged', async () => {
  await using scene = await sceneWith(['bob'])
  const { world, network } = scene
  const visitor = await scene.visit('carol')
  // The network is slow, so that many bytes are sent and few of them are acknowledged. The last part waits until progress was seen.
  const progress = Promise.withResolvers<void>()
  network.rule = (seen) => {
    const partNumber = sentPart(seen)
    if (partNumber === null) return null
    return partNumber === 4 ? { heldUntil: progress.promise } : { bytesPerSecond: 4 * MIB }
  }
  const sizeBytes = 4 * PART_BYTES
  await visitor.send([await world.file('large.bin', sizeBytes)], ['bob'])
  const card = visitor.card('large.bin')
  await card.says(/in transit/)
  const transferId = await onlyTransferId(visitor)
  const shares = new Set<number>()
  await until(async () => {
    const shown = await card.firstHopShare()
    const status = await statusOf(visitor, transferId)
    const held = status.state === 'receiving' ? Math.min(1, heldBytes(status) / sizeBytes) : 1
    expect(shown).toBeLessThanOrEqual(held)
    if (shown > 0) progress.resolve()
    shares.add(shown)
    return shown === 1
  }, 'it is stored')
  // The test also checked the progress during the upload.
  expect([...shares].filter((share) => share > 0 && share < 1)).not.toEqual([])
})
