/** A file sent from the page arrives unchanged. The page shows each step after it has happened. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inChromiumOnly } from '../../page/harness/engine.ts'
import { chromiumTest } from '../../page/harness/once.ts'
import { receivedTree } from '../../page/received-tree.ts'
import { expectArrived, MIB, sceneWith, transfersOf } from './visit.ts'

test('several files and dropped files arrive unchanged, and a folder as one delivery, each with a verified receipt', async (context) => {
  inChromiumOnly(context, 'WebDriver BiDi drops no files, and Playwright chooses no folders by it')
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await world.receiver('bob')
  const visitor = await scene.visit('carol')
  const { page } = visitor
  const paths = await Promise.all([
    world.file('empty.txt', 0),
    world.file('small.bin', 1000),
    world.file('large.bin', 9 * MIB + 1),
  ])
  await mkdir(world.path('files', 'holiday', 'day 1'), { recursive: true })
  await writeFile(world.path('files', 'holiday', 'list.txt'), 'towel')
  await writeFile(world.path('files', 'holiday', 'day 1', 'beach.jpg'), 'not really')
  await mkdir(world.path('files', 'dropped', 'empty'), { recursive: true })
  await writeFile(world.path('files', 'dropped', 'deep.txt'), 'deep')
  await writeFile(world.path('files', 'beside.txt'), 'beside')

  await visitor.choose(paths)
  await visitor.chooseFolder(world.path('files', 'holiday'))
  await visitor.goTo('History')
  // The user may drop files anywhere on the page. The page then shows what it will send.
  await visitor.drop([world.path('files', 'dropped'), world.path('files', 'beside.txt')])
  await page.getByText('beside.txt', { exact: true }).waitFor()
  await visitor.addReceiver('bob')
  await visitor.pressSend()

  const files = ['beside.txt', 'empty.txt', 'large.bin', 'small.bin']
  for (const name of [...files, 'holiday', 'dropped']) {
    const card = visitor.card(name)
    await card.phase('ended')
    await card.says('Delivered to bob: arrived, intact, receipt verified.')
    expect(await card.picture()).toMatch(/^from you to the portal: stored .*; from the portal to bob: delivered /)
  }
  for (const name of files) await expectArrived(world, 'bob', name, world.path('files', name))
  expect(await transfersOf(visitor)).toHaveLength(files.length + 2)
  await visitor.card('holiday').says('folder, 2 files, 15 B')
  const holiday = await receivedTree(world, 'bob', 'holiday')
  expect([...holiday].map(([path, { content }]) => [path, content?.toString()])).toEqual([
    ['day 1', undefined],
    ['day 1/beach.jpg', 'not really'],
    ['list.txt', 'towel'],
  ])
  // A drop shows the empty folder; an input does not.
  expect([...(await receivedTree(world, 'bob', 'dropped')).keys()]).toEqual(['deep.txt', 'empty'])
  await visitor.goTo('History')
  await page.getByRole('link', { name: /holiday .*folder, 2 files/ }).click()
  await page.getByRole('heading', { name: 'holiday' }).waitFor()
})

test('the timeline shows both hops, and its receipt proves the delivery to anyone', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await world.receiver('bob')
  const visitor = await scene.visit('carol')
  const { page } = visitor
  const path = await world.file('contract.pdf', 300_000)
  await visitor.send([path], ['bob'])
  const card = visitor.card('contract.pdf')
  await card.phase('ended')
  await card.locator.getByRole('link', { name: /^Timeline and receipt/ }).click()
  await page.getByRole('heading', { name: 'contract.pdf' }).waitFor()
  const steps = page.getByRole('list').filter({ hasText: 'Announced to the portal' }).getByRole('listitem')
  const told = ['Announced to the portal', 'Stored: the portal has every byte', 'Offered to bob', 'Delivered to bob']
  await page.getByText('Delivered to bob').waitFor()
  const texts = await steps.allInnerTexts()
  for (const step of told) expect(texts.join('\n')).toContain(step)
  expect(texts.at(-1)).toContain('Delivered to bob')

  const press = () => page.getByRole('button', { name: /^Download the receipt/ }).click()
  const receipt = await visitor.download(press)
  const verified = await world.run('verify', path, '--receipt', receipt.path)
  expect(verified.code, verified.stdout + verified.stderr).toBe(0)
  expect(verified.stdout).toContain('proven: bob received exactly this file')

  // The history finds the transfer by its name, which only this browser knows.
  await visitor.goTo('History')
  const line = page.getByRole('link', { name: /contract\.pdf/ })
  await line.waitFor()
  await page.getByRole('searchbox').fill('holiday')
  await page.getByText('No matches.').waitFor()
  await page.getByRole('searchbox').fill('contract BOB')
  await line.waitFor()
  await page.getByRole('button', { name: 'Failed' }).click()
  await page.getByText('No matches.').waitFor()
})

chromiumTest('a receiver that does not exist is reported in plain words, before anything is sent', async () => {
  await using scene = await sceneWith(['bob'])
  const visitor = await scene.visit('carol')
  const { page } = visitor
  await visitor.choose([await scene.world.file('a.txt', 10)])
  const to = page.getByLabel('To', { exact: true })
  const alert = page.getByRole('alert')
  await to.fill('nobody')
  await to.press('Enter')
  await alert.getByText('There is no account "nobody" at this portal.').waitFor()
  await to.fill('Bob!')
  await to.press('Enter')
  await alert.getByText('"bob!" cannot be the name of an account.').waitFor()
  expect(await page.getByRole('button', { name: /^Send it/ }).isDisabled()).toBe(true)
  await to.fill('BOB')
  await to.press('Enter')
  await page.getByRole('button', { name: 'Send it to bob' }).waitFor()
  expect(scene.network.count('PUT', /\/v1\/transfers\//)).toBe(0)
})

chromiumTest(
  'of several typed names the wrong ones stay and are named, and nothing is sent before they are removed',
  async () => {
    await using scene = await sceneWith(['bob', 'rita'])
    const visitor = await scene.visit('carol')
    const { page } = visitor
    await visitor.choose([await scene.world.file('a.txt', 10)])
    const to = page.getByLabel('To', { exact: true })
    await to.fill('nobody rita b@d')
    await to.press('Enter')
    const alert = page.getByRole('alert')
    await alert.getByText('There is no account "nobody" at this portal.').waitFor()
    await alert.getByText('"b@d" cannot be the name of an account.').waitFor()
    expect(await to.inputValue()).toBe('nobody b@d')
    expect(await to.getAttribute('aria-invalid')).toBe('true')
    await page.getByRole('button', { name: 'Remove rita' }).waitFor()
    const send = page.getByRole('button', { name: /^Send it/ })
    expect(await send.isDisabled()).toBe(true)
    await to.fill('bob')
    await to.press('Enter')
    await page.getByRole('button', { name: 'Send it to rita and bob' }).click()
    await visitor.card('a.txt').phase('stored')
    const [transfer] = await transfersOf(visitor)
    expect(transfer?.to).toEqual(['bob', 'rita'])
  },
)

chromiumTest('a file for an offline receiver is stored, and the page may be closed', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  const visitor = await scene.visit('carol')
  const path = await world.file('a.bin', 300_000)
  await visitor.send([path], ['bob'])
  const card = visitor.card('a.bin')
  await card.phase('stored')
  await card.says('The portal has the whole file, verified. Waiting for bob. You can close this page')
  expect(await card.picture()).toMatch(
    /^from you to the portal: stored .*; from the portal to bob: waiting at 0 percent$/,
  )
  await visitor.page.close()
  const bob = await world.receiver('bob')
  await bob.object(({ type }) => type === 'received')
  await expectArrived(world, 'bob', 'a.bin', path)

  // After a reload the history shows the outcome and the receipt.
  const page = await visitor.tab()
  await page.goto(`${scene.network.url}/#history`)
  await page.getByRole('link', { name: /a\.bin.*delivered/ }).click()
  await page.getByText('signed that exactly this file arrived complete. This browser verified the signature.').waitFor()
})

chromiumTest('files are sealed by default; a warning says that the portal can read an unsealed one', async () => {
  await using scene = await sceneWith(['bob'])
  const { world } = scene
  await mkdir(world.path('files'), { recursive: true })
  const secret = 'the treasure is below the third tree. '.repeat(20_000)
  const paths = ['sealed.txt', 'open.txt'].map((name) => world.path('files', name))
  for (const path of paths) await writeFile(path, secret)
  const visitor = await scene.visit('carol')
  await visitor.send(paths.slice(0, 1), ['bob'])
  await visitor.card('sealed.txt').phase('stored')
  await visitor.card('sealed.txt').says(/· sealed$/)
  const kept = await allText(world.dataFolder)
  expect(kept.length).toBeGreaterThan(secret.length)
  expect(kept).not.toContain('treasure')
  expect(kept).not.toContain('sealed.txt')

  await visitor.choose(paths.slice(1))
  await visitor.addReceiver('bob')
  await visitor.page.getByRole('checkbox', { name: /^Sealed/ }).uncheck()
  await visitor.page.getByText('Not sealed: the portal can read it').waitFor()
  await visitor.pressSend()
  await visitor.card('open.txt').phase('stored')
  await visitor.card('open.txt').says(/· open$/)
  expect(await allText(world.dataFolder)).toContain('treasure')
  await world.receiver('bob')
  for (const path of paths) {
    const name = path.split('/').at(-1) ?? ''
    await visitor.card(name).phase('ended')
    await expectArrived(world, 'bob', name, path)
  }
})

chromiumTest('a portal for sealed files only offers no choice, and accepts what the page sends', async () => {
  await using scene = await sceneWith(['bob'], ['--sealed-only'])
  const visitor = await scene.visit('carol')
  await scene.world.receiver('bob')
  const path = await scene.world.file('a.bin', 300_000)
  await visitor.choose([path])
  await visitor.addReceiver('bob')
  expect(await visitor.page.getByRole('checkbox').count()).toBe(0)
  await visitor.pressSend()
  await visitor.card('a.bin').phase('ended')
  await expectArrived(scene.world, 'bob', 'a.bin', path)
  const [transfer] = await transfersOf(visitor)
  expect(JSON.stringify(transfer)).not.toContain('a.bin')
})

/** All files in a folder, at any depth. */
async function allText(folder: string): Promise<string> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return (await Promise.all(paths.map((path) => readFile(path, 'latin1')))).join('')
}
