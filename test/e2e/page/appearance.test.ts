/** The page meets the accessibility rules of axe, and fits every window width. */
import { readFile } from 'node:fs/promises'
import type { AxeResults, RunOptions } from 'axe-core'
import { expect, test } from 'vitest'
import { rowsOf } from '../../page/harness/once.ts'
import { openVisit, type Visitor } from '../../page/harness/visitor.ts'
import { requestLink, sendLink, titled, WITH_GUESTS } from './links.ts'
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
    await using scene = await sceneWith(['alice', 'bob', 'dave', 'erin'], WITH_GUESTS)
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
    await page.getByRole('button', { name: 'Make a link…' }).click()
    await page.getByText('More', { exact: true }).click()
    await lookAt('make a link')
    await visitor.goTo('Receive')
    await visitor.card('one.bin').press('Decline…')
    await page.getByLabel(/^People without an account can send you files/).fill('tax papers of last year')
    await page.getByRole('button', { name: 'Make the link' }).click()
    await visitor.card('tax papers of last year').says('Nothing has come yet')
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

test.each(rowsOf(['light', 'dark'] as const, 1))(
  'the pages of links are accessible in %s, and fit a phone',
  async (colorScheme) => {
    await using scene = await sceneWith(['alice'], WITH_GUESTS)
    const { world, network } = scene
    const options = { colorScheme, bypassCSP: true, viewport: PHONE }
    const longName = `${'a very long name of a file '.repeat(7)}.pdf`
    const visitor = await openVisit(options)
    const { page } = visitor
    const lookAt = async (where: string): Promise<void> => {
      await expectAccessible(visitor, where)
      await expectFits(visitor, where)
    }
    const press = (name: string) => page.getByRole('button', { name, exact: true }).click()
    await visitor.open(`${network.url}/g#glg_`)
    await titled(visitor, 'This link is not complete')
    await lookAt('not complete')
    const locked = await sendLink(scene, { passphrase: 'blue' })
    await locked.send(await world.file(longName, 1000), '--no-wait').ended
    await visitor.open(locked.link)
    await titled(visitor, 'A file for you, with a passphrase')
    await lookAt('passphrase')
    await page.getByLabel('The passphrase that the sender told you').fill('blue')
    await press('Open')
    await page.getByRole('button', { name: 'Receive', exact: true }).waitFor()
    await lookAt('offered')
    await visitor.download(() => press('Receive'))
    await titled(visitor, 'Received from alice')
    await lookAt('received')
    await press('I have it, remove it here')
    await titled(visitor, 'Done')
    await lookAt('done')
    await visitor.open(`${network.url}/?elsewhere`)
    await visitor.open((await sendLink(scene, { lifetimeMs: 60_000 })).link.replace(/glg_.{4}/, 'glg_aaaa'))
    await titled(visitor, 'This link does not work')
    await lookAt('not working')

    await world.receiver('alice')
    await visitor.open((await requestLink(scene, { label: 'tax papers '.repeat(12) })).link)
    await page.getByText('You get two notifications for each file').waitFor()
    await lookAt('request')
    await visitor.choose([await world.file('income.pdf', 1000), await world.file(`2 ${longName}`, 1000)])
    await lookAt('request, chosen')
    await page.getByRole('button', { name: 'Send 2 files to alice' }).click()
    await visitor.card('income.pdf').phase('ended')
    await lookAt('request, sent')
  },
)
