/**
 * Comments, help texts, log lines, test names and documents are short declarative sentences with an actor. This test finds the
 * phrases that hide the actor or the verb.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { forbiddenPhrases } from './phrases.ts'
import { root } from './sources.ts'

const PLACES = ['src', 'test', 'bench', 'docs', 'deploy', 'examples', 'bin', 'scripts', 'findings', '.github']
const TEXT_FILE = /\.(?:ts|tsx|js|md|yaml|yml)$/

/** Files that contain the phrases as search terms. */
const OWN: readonly string[] = ['test/structure/phrases.ts', 'test/structure/prose.test.ts']

const COMMENT = /^\s*(?:\/\*|\*|\/\/)/

interface Text {
  readonly path: string
  readonly text: string
}

function readTexts(): Text[] {
  const names = readdirSync(root, { withFileTypes: true })
  const top = names.filter((entry) => entry.isFile() && entry.name.endsWith('.md')).map(({ name }) => name)
  const places = PLACES.filter((place) => existsSync(join(root, place)))
  const below = places.flatMap((place) =>
    readdirSync(join(root, place), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && TEXT_FILE.test(entry.name) && !entry.parentPath.includes('node_modules'))
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1)),
  )
  return [...top, ...below]
    .map((path) => path.replaceAll('\\', '/'))
    .filter((path) => !OWN.includes(path))
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

/** Phrases are found across the lines of a comment or a paragraph. */
function findings({ path, text }: Text): string[] {
  return paragraphsOf(text).flatMap(({ line, words }) =>
    forbiddenPhrases.flatMap(([phrase, instead]) =>
      [...words.matchAll(phrase)].map(([found]) => `${path}:${line}: "${found.trim()}"; write: ${instead}`),
    ),
  )
}

/** Joins lines that continue a sentence: those of one comment, and those of one paragraph of a document. */
function paragraphsOf(text: string): { line: number; words: string }[] {
  const paragraphs: { line: number; words: string }[] = []
  let isOpen = false
  let wasComment = false
  for (const [index, line] of text.split('\n').entries()) {
    const words = line.replace(/^\s*(?:\/\*\*?|\*\/|\*|\/\/|#+|>|[-*] )?\s*/, '').trim()
    const last = paragraphs.at(-1)
    // A comment after code is a paragraph of its own.
    const isComment = COMMENT.test(line)
    if (isComment && !wasComment) isOpen = false
    wasComment = isComment
    if (isOpen && last !== undefined && words !== '') last.words += ` ${words}`
    else if (words !== '') paragraphs.push({ line: index + 1, words })
    isOpen = words !== '' && !/\*\/\s*$/.test(line)
  }
  return paragraphs
}

test('comments, texts and documents have none of the forbidden phrases', () => {
  expect(readTexts().flatMap(findings)).toEqual([])
})

test('a phrase is found wherever it stands', () => {
  const texts = [
    '/** Whoever calls this waits. */',
    '// The file is begun\n// anew.',
    ' * It\n * goes on.',
    "test('a file that somebody sends is stored', () => {})",
    '- So many offers are open.',
    'It ends. So much is read.',
    'A part that comes late is nobody’s.'.replace('’', "'"),
  ]
  for (const text of texts) expect(findings({ path: 'x', text }), text).not.toEqual([])
  for (const text of ['It continues. So does the other.', 'celestial', 'So long as it runs']) {
    expect(findings({ path: 'x', text }), text).toEqual([])
  }
})
