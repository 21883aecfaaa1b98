/** The documents in the package link only to files in the package. */
import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { linksOf, readPages, targetOf } from '../../structure/pages.ts'
import { root } from './checkout.ts'

test('the package has each file that one of its documents links to', () => {
  const told = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' })
  const [{ files }]: [{ files: { path: string }[] }] = JSON.parse(told)
  const packed = files.map(({ path }) => path)
  expect(packed).toEqual(expect.arrayContaining(['README.md', 'docs/install.md', 'PROTOCOL.md', 'LICENSE']))
  const missing = readPages()
    .filter(({ path }) => packed.includes(path))
    .flatMap((page) =>
      linksOf(page)
        .filter((link) => {
          const { path } = targetOf(page, link)
          return !packed.some((one) => one === path || one.startsWith(`${path.replace(/\/$/, '')}/`))
        })
        .map((link) => `${page.path}: ${link}`),
    )
  expect(missing).toEqual([])
})
