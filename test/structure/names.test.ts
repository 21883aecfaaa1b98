/** A name that a module exports means one thing in all of `src`, and the name of an error class ends in Error. */
import { expect, test } from 'vitest'
import { readSources, type Source } from './sources.ts'

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|const|let|class|interface|type|enum) (\w+)/gm

/** Names that several modules export, each with the reason. */
const shared: ReadonlyMap<string, string> = new Map([
  ['up', 'each migration of the ledger exports its step under this name: Kysely asks for it'],
  ['join', "the library's function asks a portal for what the portal's function does"],
  ['startPortal', "the library's function has the portal's name, with defaults for its options"],
  // These names have two meanings still. Rename one of them.
  ['CallOptions', 'options of a call of the library; options of a request of the client'],
  ['Identity', "the page's account in this browser; the library's account of a profile"],
  ['LinkOptions', "a link to PostgreSQL; a person's link to the page"],
])

/** Errors with names from PROTOCOL.md and RFC 9457. */
const errorNames: ReadonlySet<string> = new Set(['Problem', 'RemoteProblem'])

/** The modules that declare each exported name. `X.browser.ts` replaces `X.ts` in the page, so both count as one. */
function declarationsIn(sources: readonly Source[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { path, text } of sources) {
    for (const [, name = ''] of text.matchAll(DECLARATION)) {
      found.set(name, (found.get(name) ?? new Set()).add(path.replace('.browser.ts', '.ts')))
    }
  }
  return found
}

function namesWithSeveralMeanings(sources: readonly Source[]): string[] {
  return [...declarationsIn(sources)]
    .filter(([name, paths]) => paths.size > 1 && !shared.has(name))
    .map(([name, paths]) => `${name}: ${[...paths].join(', ')}`)
}

/** Classes that extend an Error, directly or through another class. */
function errorClassesIn(sources: readonly Source[]): Set<string> {
  const found = new Set(['Error'])
  for (let before = 0; before < found.size; ) {
    before = found.size
    for (const { text } of sources) {
      for (const [, name = '', parent = ''] of text.matchAll(/\bclass (\w+)(?:<[^{]*>)? extends (\w+)/g)) {
        if (found.has(parent)) found.add(name)
      }
    }
  }
  return found
}

test('no two modules export the same name', () => {
  expect(namesWithSeveralMeanings(readSources())).toEqual([])
})

test('every shared name is still exported by several modules', () => {
  const declarations = declarationsIn(readSources())
  expect([...shared.keys()].filter((name) => (declarations.get(name)?.size ?? 0) < 2)).toEqual([])
})

test('classes of errors end in Error', () => {
  const misnamed = [...errorClassesIn(readSources())].filter((name) => !name.endsWith('Error') && !errorNames.has(name))
  expect(misnamed).toEqual([])
})

test('a name that two modules export is found, and an error two classes deep', () => {
  const sources = [
    { path: 'src/a.ts', text: 'export interface Upload {}\nexport class Lost extends Error {}' },
    { path: 'src/b.ts', text: 'export class Upload {}\nclass LostForGood extends Lost {}' },
    { path: 'src/b.browser.ts', text: 'export const own = 1' },
    { path: 'src/c.browser.ts', text: 'export const same = 1' },
    { path: 'src/c.ts', text: 'export const same = 2' },
  ]
  expect(namesWithSeveralMeanings(sources)).toEqual(['Upload: src/a.ts, src/b.ts'])
  expect([...errorClassesIn(sources)]).toEqual(['Error', 'Lost', 'LostForGood'])
})
