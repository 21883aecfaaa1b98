/**
 * One word for one thing, so that a search finds all of it: the words of ARCHITECTURE.md, and no synonyms.
 */
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

const LINES_MAX = 400

/** What not to write -> what to write. Words are also found inside identifiers, in camel case and with separators. */
const forbidden: readonly (readonly [word: string, instead: string])[] = [
  ['chunk', 'part (of a file), bytes (of a stream)'],
  ['chunks', 'parts (of a file), bytes (of a stream)'],
  ['chunked', 'in parts'],
  ['piece', 'part'],
  ['pieces', 'parts'],
  ['file id', 'transfer id'],
  ['ack', 'disposition, notification'],
  ['acks', 'dispositions, notifications'],
  ['acked', 'acknowledged'],
]

/** A line that may contain a word of another vocabulary: that of HTTP, or of a library. */
const allowed: readonly { readonly path: string; readonly line: string }[] = [
  { path: 'src/portal/http/file-head.ts', line: "const ONLY_TRANSFER_CODING = 'chunked'" },
  // Node's name.
  {
    path: 'src/client/node-rate-limit.ts',
    line: 'override _writev(all: { chunk: Buffer }[], done: (error?: Error | null) => void): void {',
  },
  { path: 'src/client/node-rate-limit.ts', line: 'this.#send(Buffer.concat(all.map((one) => one.chunk)), done)' },
]

/** The words of a line. Identifiers are split at capital letters, hyphens and underscores. */
function wordsOf(line: string): string {
  const apart = line.replace(/([a-z0-9])([A-Z])/g, '$1 $2').replace(/[^A-Za-z0-9]+/g, ' ')
  return ` ${apart.toLowerCase().trim()} `
}

function findings(path: string, text: string): string[] {
  return text.split('\n').flatMap((line, index) => {
    if (allowed.some((place) => place.path === path && place.line === line.trim())) return []
    const words = wordsOf(line)
    return forbidden
      .filter(([word]) => words.includes(` ${word} `))
      .map(([word, instead]) => `${path}:${index + 1}: "${word}"; write: ${instead}`)
  })
}

test('the words of the vocabulary are used, and no synonyms', () => {
  expect(readSources().flatMap(({ path, text }) => findings(path, text))).toEqual([])
})

test('a synonym is found inside identifiers, too', () => {
  const lines = [
    'const chunkSize = 1',
    '// every chunk of it',
    'a.fileId',
    'the file id',
    'FILE_ID',
    'send("ack")',
    'onAck()',
    'piece_count',
  ]
  for (const line of lines) expect(findings('x.ts', line), line).not.toEqual([])
  for (const line of ['acknowledged', 'back', 'package', 'transferId', 'rollback()']) {
    expect(findings('x.ts', line), line).toEqual([])
  }
})

test('every exception is still needed', () => {
  const sources = readSources()
  const stale = allowed.filter(
    (place) =>
      !sources.some(({ path, text }) => path === place.path && text.split('\n').some((l) => l.trim() === place.line)),
  )
  expect(stale).toEqual([])
})

test(`no source file is longer than ${LINES_MAX} lines`, () => {
  const long = readSources()
    .map(({ path, text }) => ({ path, lines: text.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > LINES_MAX)
  expect(long).toEqual([])
})
