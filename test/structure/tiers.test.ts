/** `npm test` runs the files that need nothing but Node. Every other test file belongs to a project, too. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import config from '../../vitest.config.ts'
import { chromiumFiles, filesOfTiers, longFiles, projectsInOrder, runs, tiers } from '../tiers.ts'
import { root } from './sources.ts'

const files = filesOfTiers()

test('`npm test` starts portals, senders and receivers, and needs no server, no browser and no name space', () => {
  const fast = files.fast.map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
  expect(fast.filter(({ path }) => path.startsWith('test/e2e/')).length).toBeGreaterThan(3)
  const needy = /requireServer|testDatabase|testBucket|browserPage|openVisit|'unshare'/
  expect(fast.filter(({ text }) => needy.test(text)).map(({ path }) => path)).toEqual([])
})

test('every project has files', () => {
  for (const tier of tiers) expect(files[tier], tier).not.toEqual([])
})

test('`npm run test:all` runs every project once', () => {
  const projects = config.test?.projects?.map((one) =>
    typeof one === 'object' && 'test' in one ? one.test?.name : one,
  )
  expect(runs.flat(2).sort()).toEqual(projects?.sort())
  expect([...projectsInOrder].sort()).toEqual(projects?.sort())
})

test('the listed files exist', () => {
  const paths = Object.values(files).flat()
  expect([...longFiles, ...chromiumFiles].filter((path) => !paths.includes(path))).toEqual([])
})

test('only `npm run test:setup` installs servers', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  expect(scripts['test:setup']).toContain('test/servers/setup.ts')
  const others = Object.values(files)
    .flat()
    .filter((path) => readFileSync(join(root, path), 'utf8').includes(`apt-${'get'}`))
  expect(others).toEqual([])
})
