/** The page meets the accessibility rules of axe, and fits every window width. */
import { readFile } from 'node:fs/promises'
import type { AxeResults, RunOptions } from 'axe-core'
import { expect, test } from 'vitest'
import { rowsOf } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { holdPartsAfter, PART_BYTES, type Scene, sceneWith } from './visit.ts'

const PHONE = { width: 375, height: 720 }
const axePath = new URL('../../../node_modules/axe-core/axe.min.js', import.meta.url)

/** Carol, with files in every view: one active, one stored, one delivered, one failed, and two offers for her. */
async function fullPage(scene: Scene, options: Parameters<typeof openVisit>[0]): Promise<Visitor> {
  const { world, network } = scene
  const visitor = await scene.visit('carol', options)
  const longName = `${'a very long name of a file '.repeat(7)}.bin`
  await visitor.send([await world.file('delivered.bin', 300_000)], ['bob'])
  await visitor.card('delivered.bin').phase('ended')
  await visitor.send([await world.file(longName, 300_000)], ['bob', 'dave', 'erin'])
  await visitor.card(longName).phase('stored')
  holdPartsAfter(network, 1)
  await visitor.send([await world.file('on its way.bin', 2 * PART_BYTES)], ['bob'])
  await visitor.card('on its way.bin').says(/The portal has 8\.0 MiB of 16\.0 MiB/)
  for (const name of ['one.bin', 'two.bin']) {
    await world.send(await world.file(name, 1000), 'carol', '--no-wait').ended
  }
  await visitor.page.getByRole('link', { name: 'Receive 2 waiting for you' }).waitFor()
  return visitor
}

async function expectAccessible({ page }: Visitor, where: string): Promise<void> {
  const source = await readFile(axePath, 'utf8')
  await page.evaluate(source)
  const options: RunOptions = { resultTypes: ['violations'] }
  const { violations } = await page.evaluate<AxeResults, RunOptions>(
    (options) => (globalThis as unknown as { axe: { run(options: RunOptions): Promise<AxeResults> } }).axe.run(options),
    options,
  )
  const bad = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
  const told = bad.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  )
  expect(told, where).toEqual([])
}

async function expectFits(visitor: Visitor, where: string): Promise<void> {
  const { shown, room } = await visitor.inside<{ shown: number; room: number }>('widths')
  expect(room, where).toBe(PHONE.width)
  expect(shown, where).toBeLessThanOrEqual(room)
}

test.each(rowsOf(['light', 'dark'] as const, 1))(
  'every view is accessible in %s, and fits a phone',
  async (colorScheme) => {
    await using scene = await sceneWith(['alice', 'bob', 'dave', 'erin'])
    const { world } = scene
    // The page's security policy forbids axe, so the context bypasses it.
    const options = { colorScheme, bypassCSP: true }
    const stranger = await openVisit({ ...options, viewport: PHONE })
    await stranger.open(scene.network.url)
    await stranger.page.getByLabel('Your invite').fill('no invite')
    await stranger.page.getByRole('button', { name: 'Continue' }).click()
    await expectAccessible(stranger, 'welcome')
    await expectFits(stranger, 'welcome')
    await stranger.open(await scene.link('frank'))
    await stranger.page.reload()
    await stranger.page.getByRole('heading', { name: /^Files that arrive/ }).waitFor()
    await expectAccessible(stranger, 'invited')
    await expectFits(stranger, 'invited')
    await stranger.close()

    await world.receiver('bob')
    await world.receiver('erin', ['--from', 'bob'])
    const visitor = await fullPage(scene, options)
    const { page } = visitor
    await world.run('accounts', 'operator', 'carol', '--data', world.dataFolder)
    const lookAt = async (where: string): Promise<void> => {
      await page.setViewportSize({ width: 1280, height: 800 })
      await expectAccessible(visitor, where)
      await page.setViewportSize(PHONE)
      await expectAccessible(visitor, `${where}, on a phone`)
      await expectFits(visitor, where)
    }
    await visitor.goTo('Send')
    await visitor.choose([await world.file('another.bin', 10), await world.file('and one more.bin', 10)])
    await page.getByLabel('To', { exact: true }).fill('nobody')
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await page.getByText('There is no account "nobody" at this portal.').waitFor()
    await lookAt('send')
    await visitor.goTo('Receive')
    await visitor.card('one.bin').press('Decline…')
    await lookAt('receive')
    await visitor.goTo('History')
    await page.getByRole('link', { name: /delivered\.bin/ }).waitFor()
    await lookAt('history')
    await page.getByRole('link', { name: /a very long name/ }).click()
    await page.getByRole('heading', { name: 'Timeline' }).waitFor()
    await page.getByText('Not delivered to erin').waitFor()
    await lookAt('detail')
    await visitor.goTo('You')
    await page.getByText('Compare', { exact: true }).first().click()
    await lookAt('you')
    await page.reload()
    // The interrupted transfer waits for its file now.
    await page.getByRole('heading', { name: 'You are carol' }).waitFor()
    await visitor.goTo('Send')
    await page.getByRole('heading', { name: 'Unfinished' }).waitFor()
    await lookAt('not finished')
    await visitor.goTo('Portal')
    await page.getByRole('heading', { name: /^Receivers online/ }).waitFor()
    await lookAt('portal')
  },
)
