/**
 * The documents are true: links and anchors lead somewhere, commands, options and paths exist, and the generated parts
 * equal those of the program.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import { generatedPage, generatedPages } from '../../scripts/docs.ts'
import { commandLine } from '../../src/cli/main.ts'
import { failedFolderName, sentFolderName, unfinishedNames } from '../../src/outbox/left-alone.ts'
import { anchorsOf, blocksOf, linksOf, type Page, proseOf, readPages, targetOf } from './pages.ts'
import { forbiddenPhrases } from './phrases.ts'
import { root } from './sources.ts'

const pages = readPages()
const program = await commandLine()
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** Errors of each page, one a line. */
function complaints(find: (page: Page) => readonly string[]): string[] {
  return pages.flatMap((page) => find(page).map((what) => `${page.path}: ${what}`))
}

test('the documents are found', () => {
  expect(pages.map(({ path }) => path)).toEqual(
    expect.arrayContaining(['README.md', 'docs/commands.md', 'PROTOCOL.md']),
  )
})

test('every link leads to a file, and every anchor to a heading', () => {
  const broken = complaints((page) =>
    linksOf(page).filter((link) => {
      const { path, anchor } = targetOf(page, link)
      if (!existsSync(join(root, path))) return true
      const target = pages.find((one) => one.path === path)
      return anchor !== undefined && (target === undefined || !anchorsOf(target).has(anchor))
    }),
  )
  expect(broken).toEqual([])
})

test('every path of the repository that a document names exists', () => {
  const named = /`((?:src|test|docs|deploy|bench|vectors|scripts|bin|findings|\.ci|\.github)\/[\w./@-]*)`/g
  const missing = complaints((page) =>
    [...proseOf(page).matchAll(named)].map(([, path = '']) => path).filter((path) => !existsSync(join(root, path))),
  )
  expect(missing).toEqual([])
})

test('every test title that a document quotes is in the file that it names', () => {
  const texts = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.ts'))
    .map((path) => ({ path: `test/${path}`, text: readFileSync(join(root, 'test', path), 'utf8') }))
  const quotes = /`([\w./-]+\.test\.ts)` \("([^"…]+?) ?…?"\)/g
  const lost = complaints((page) =>
    [...proseOf(page).matchAll(quotes)]
      .filter(
        ([, file = '', title = '']) => !texts.some(({ path, text }) => path.endsWith(file) && text.includes(title)),
      )
      .map(([quote]) => quote),
  )
  expect(lost).toEqual([])
})

test('documents are plain sentences with an actor', () => {
  const phrases = forbiddenPhrases.map(([phrase]) => phrase)
  expect(complaints((page) => phrases.flatMap((phrase) => proseOf(page).match(phrase) ?? []))).toEqual([])
})

test.each(generatedPages)('%s is what `npm run docs` writes', async (path) => {
  expect(readFileSync(join(root, path), 'utf8')).toBe(await generatedPage(path))
})

test('every script of npm that a document names exists', () => {
  const unknown = complaints(({ text }) =>
    [...text.matchAll(/\bnpm run ([\w:-]+)/g)]
      .map(([, name = '']) => name)
      .filter((name) => !(name in manifest.scripts)),
  )
  expect(unknown).toEqual([])
})

/** The words of a shell line, roughly: quotes are removed, and a comment, a pipe or a redirection ends it. */
function wordsOf(line: string): string[] {
  const [own = ''] = line.split(/\s(?:#|\||>|&&|;|<)(?:\s|$)|\$\(|\)/)
  return (own.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^['"]|['"]$/g, ''))
}

/** The error in a call of the program; null if there is none. */
function faultOf(words: readonly string[]): string | null {
  let command: Command = program
  for (const word of words) {
    const next: Command | undefined = command.commands.find((one) => one.name() === word)
    if (next !== undefined) command = next
    else if (command === program && /^[a-z]/.test(word)) return `there is no command ${word}`
    const flag = /^--[a-z][a-z-]*/.exec(word)?.[0]
    if (flag === undefined || flag === '--help' || (flag === '--version' && command === program)) continue
    // `accounts` stands for `accounts list`, so it has the options of that command.
    const known = [command, ...command.commands].flatMap(({ options }) => options.map(({ long }) => long))
    if (!known.includes(flag)) return `${command.name()} has no ${flag}`
  }
  return null
}

test('every command that a document shows exists, with its options', () => {
  const faults = complaints((page) =>
    [...blocksOf(page, 'sh'), ...blocksOf(page, 'text')]
      .flatMap((block) => block.replace(/\\\n\s*/g, ' ').split('\n'))
      .flatMap((line) => {
        const [, call] = /(?:^|[\s|(]|npx )golooader (?!portal,)([a-z-].*)$/.exec(line) ?? []
        const isCall = /^\s*(?:\$ )?(?:npx )?golooader /.test(line) || /[|(=] ?(?:npx )?golooader /.test(line)
        const fault = call === undefined || !isCall ? null : faultOf(wordsOf(call))
        return fault === null ? [] : [`${line.trim()}: ${fault}`]
      }),
  )
  expect(faults).toEqual([])
})

test('every method of the ledger that a document names exists', () => {
  const contract = readFileSync(join(root, 'src/portal/ledger/contract.ts'), 'utf8')
  const named = (page: Page): string[] =>
    [...proseOf(page).matchAll(/`ledger\.(?!sqlite`)(\w+)`/g)].map(([, name = '']) => name)
  expect(complaints((page) => named(page).filter((name) => !contract.includes(`  ${name}(`)))).toEqual([])
})

test('ARCHITECTURE.md names every folder of src', () => {
  const text = pages.find(({ path }) => path === 'ARCHITECTURE.md')?.text ?? ''
  const foldersIn = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []))
  const rooms = [
    ...foldersIn('src').map((name) => `src/${name}/`),
    ...foldersIn('src/portal').map((name) => `${name}/`),
  ]
  expect(rooms.filter((room) => !text.includes(`\`${room}\``))).toEqual([])
})

test('docs/drop-folders.md has the names that a drop folder leaves alone', () => {
  const text = pages.find(({ path }) => path === 'docs/drop-folders.md')?.text ?? ''
  const table = /^Left alone without a word:\n\n\| name .*\n.*\n((?:\|.*\n)+)/m.exec(text)?.[1] ?? ''
  const cells = table.split('\n').map((row) => row.split('|')[1] ?? '')
  const listed = cells.flatMap((cell) => cell.match(/(?<=`)[^`]+(?=`(?:,| ))/g) ?? [])
  expect(listed).toEqual(['.…', ...unfinishedNames.slice(1), sentFolderName, failedFolderName, '--exclude'])
})

test('every package has its reason in docs/design.md', () => {
  const design = pages.find(({ path }) => path === 'docs/design.md')?.text ?? ''
  const table = design.slice(design.indexOf('## Chosen packages'))
  const { dependencies, devDependencies, optionalDependencies } = manifest
  const names = Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })
  expect(names.filter((name) => !name.startsWith('@types/') && !table.includes(`\`${name}\``))).toEqual([])
})

test('every decision is in the list, with its title', () => {
  const listed = pages.find(({ path }) => path === 'docs/decisions/README.md')?.text.match(/^- .+$/gm)
  const files = readdirSync(join(root, 'docs/decisions')).filter((name) => name !== 'README.md')
  const expected = files.sort().map((name) => {
    const [, number, title] = /^# (\d{4}): (.+)$/m.exec(readFileSync(join(root, 'docs/decisions', name), 'utf8')) ?? []
    expect(name).toMatch(new RegExp(`^${number}-[a-z0-9-]+\\.md$`))
    return `- [${number}](${name}) ${title}`
  })
  expect(listed).toEqual(expected)
})
