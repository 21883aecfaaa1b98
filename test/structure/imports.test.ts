/**
 * The import directions of ARCHITECTURE.md: cli -> library; library | page -> outbox -> sender | portal | receiver -> profile ->
 * tree | trust | client | parts -> fs | async | digests | buffers -> protocol. Sender, portal and receiver never import each
 * other. Code for a browser or a light installation loads little.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Import, importsOf, readSources, root, type Source } from './sources.ts'

/** Folder of `src` -> the other folders it may import from. A file directly in `src` is `.`. */
const arrows: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  async: ['protocol'],
  buffers: [],
  digests: ['protocol'],
  fs: ['async', 'protocol'],
  exec: ['fs', 'async', 'protocol'],
  parts: ['digests', 'buffers', 'async', 'protocol'],
  client: ['digests', 'buffers', 'async', 'protocol'],
  trust: ['digests', 'protocol'],
  tree: ['protocol'],
  profile: ['trust', 'client', 'parts', 'fs', 'digests', 'async', 'protocol'],
  sender: ['tree', 'trust', 'client', 'parts', 'fs', 'digests', 'buffers', 'async', 'protocol'],
  outbox: ['sender', 'trust', 'client', 'fs', 'digests', 'buffers', 'async', 'protocol'],
  portal: ['client', 'parts', 'fs', 'digests', 'buffers', 'async', 'protocol'],
  receiver: ['tree', 'trust', 'client', 'parts', 'fs', 'digests', 'buffers', 'async', 'protocol'],
  page: ['sender', 'receiver', 'tree', 'trust', 'client', 'parts', 'digests', 'buffers', 'async', 'protocol'],
  library: [
    'outbox',
    'sender',
    'portal',
    'receiver',
    'profile',
    'tree',
    'trust',
    'client',
    'parts',
    'fs',
    'digests',
    'async',
    'protocol',
  ],
  cli: [
    'library',
    'outbox',
    'exec',
    'sender',
    'portal',
    'receiver',
    'profile',
    'tree',
    'trust',
    'client',
    'parts',
    'fs',
    'digests',
    'async',
    'protocol',
  ],
  '.': ['library', 'outbox', 'sender', 'receiver', 'protocol'],
}

const nodeTransport = /^src\/client\/node-[a-z-]+\.ts$/
/** Files that need Node and must not be loaded in a browser. */
const nodeFiles = /^src\/fs\/|\/node(-[a-z0-9-]+)?\.ts$/
/** The files that replace them in a browser, and files for browsers only. */
const browserFiles = /^src\/.*(?:\.browser|\/browser-[a-z-]+)\.ts$/
const pageBuild = /^src\/page\/(?:vite\.config\.ts|build\/)/
const databaseDrivers = /^(node:sqlite|pg|pg-.*|kysely.*|better-sqlite3)$/
const sources = readSources()
const imports = sources.flatMap(importsOf)

function folderOf(path: string): string {
  return /^src\/([^/]+)\//.exec(path)?.[1] ?? '.'
}

/** The import as a line for an error message. */
function line({ from, specifier, kind }: Import): string {
  return `${from}: ${kind} import of ${specifier}`
}

function importsThat(isForbidden: (one: Import) => boolean): string[] {
  return imports.filter(isForbidden).map(line)
}

/** All files and packages that are loaded statically with `entry`, without types and `import()`. */
function loadedWith(entry: string): Set<string> {
  const loaded = new Set([entry])
  for (const path of loaded) {
    for (const { from, kind, target, specifier } of imports) {
      if (from === path && kind === 'static') loaded.add(target ?? specifier)
    }
  }
  return loaded
}

/** The same in a browser, where `X.browser.ts` replaces `X.ts`. */
function loadedInBrowserWith(entry: string): Set<string> {
  const loaded = new Set([entry])
  for (const path of loaded) {
    for (const { from, kind, target, specifier } of imports) {
      if (from !== path || kind !== 'static') continue
      const forBrowsers = target?.replace(/(?=\.tsx?$)/, '.browser') ?? ''
      loaded.add(sources.some((source) => source.path === forBrowsers) ? forBrowsers : (target ?? specifier))
    }
  }
  return loaded
}

describe('imports are found', () => {
  const source: Source = {
    path: 'src/parts/example.ts',
    text: [
      "import './plain.ts'",
      "import type { A } from './type.ts'",
      "import { b } from '../named.ts'",
      'import {',
      '  c,',
      '  type D,',
      '} from "./lines.ts"',
      "export * from './star.ts'",
      "export type { E } from './exported-type.ts'",
      "import * as f from 'node:fs'",
      "const g = await import('./dynamic.ts')",
      "type H = typeof import('./queried.ts')",
      "// import './comment.ts'",
      "/* import './comment.ts' */",
      "const text = 'import x from elsewhere'",
    ].join('\n'),
  }

  test('in every form, and nowhere else', () => {
    expect(importsOf(source).map(({ kind, target, specifier }) => `${kind} ${target ?? specifier}`)).toEqual([
      'static src/parts/plain.ts',
      'type src/parts/type.ts',
      'static src/named.ts',
      'static src/parts/lines.ts',
      'static src/parts/star.ts',
      'type src/parts/exported-type.ts',
      'static node:fs',
      'dynamic src/parts/dynamic.ts',
      'type src/parts/queried.ts',
    ])
  })

  test('in the present sources, each leading to a file', () => {
    expect(imports.length).toBeGreaterThan(50)
    const broken = imports.filter(({ target }) => target !== null && !existsSync(join(root, target)))
    expect(broken.map(line)).toEqual([])
  })
})

test('every folder of src is in the table of folders', () => {
  const unknown = new Set(sources.map(({ path }) => folderOf(path)).filter((folder) => !(folder in arrows)))
  expect([...unknown]).toEqual([])
})

test('imports follow the table of folders', () => {
  const against = importsThat(({ from, target }) => {
    if (target === null) return false
    const [own, other] = [folderOf(from), folderOf(target)]
    return own !== other && arrows[own]?.includes(other) !== true
  })
  expect(against).toEqual([])
})

test('no file imports itself through others, types included', () => {
  const targets = new Map<string, string[]>()
  for (const { from, target, kind } of imports) {
    if (target !== null && kind !== 'dynamic') targets.set(from, [...(targets.get(from) ?? []), target])
  }
  const circles: string[] = []
  const done = new Set<string>()
  const follow = (path: string, way: readonly string[]): void => {
    const start = way.indexOf(path)
    if (start >= 0) circles.push([...way.slice(start), path].join(' -> '))
    if (start >= 0 || done.has(path)) return
    for (const target of targets.get(path) ?? []) follow(target, [...way, path])
    done.add(path)
  }
  for (const path of targets.keys()) follow(path, [])
  expect(circles).toEqual([])
})

test('the table of folders has no circle: each may import only from folders above it', () => {
  const rooms = Object.keys(arrows)
  const upward = rooms.flatMap((room, index) =>
    (arrows[room] ?? []).filter((other) => rooms.indexOf(other) >= index).map((other) => `${room} -> ${other}`),
  )
  expect(upward).toEqual([])
})

test('sender, portal and receiver never import each other', () => {
  const apps = ['sender', 'portal', 'receiver']
  const across = importsThat(({ from, target }) => {
    if (target === null || !apps.includes(folderOf(from))) return false
    return folderOf(target) !== folderOf(from) && apps.includes(folderOf(target))
  })
  expect(across).toEqual([])
})

test('the protocol runs anywhere: it needs no other folder and nothing of Node', () => {
  const foreign = importsThat(
    ({ from, target, specifier }) =>
      folderOf(from) === 'protocol' &&
      (specifier.startsWith('node:') || (target !== null && folderOf(target) !== 'protocol')),
  )
  expect(foreign).toEqual([])
})

test('the client runs in a browser, except for its transport for Node', () => {
  const bound = importsThat(
    ({ from, specifier }) =>
      folderOf(from) === 'client' && !nodeTransport.test(from) && /^(node:|undici\b)/.test(specifier),
  )
  expect(bound).toEqual([])
  expect([...loadedWith('src/client/index.ts')].filter((name) => /^(node:|undici\b)/.test(name))).toEqual([])
})

test.each(['async', 'parts', 'tree', 'sender', 'receiver'])(
  'in the folder "%s" only files named node-* need Node',
  (room) => {
    const bound = importsThat(
      ({ from, target, specifier }) =>
        folderOf(from) === room &&
        !nodeFiles.test(from) &&
        (/^(node:|undici\b)/.test(specifier) || (target !== null && nodeFiles.test(target))),
    )
    expect(bound).toEqual([])
  },
)

test('only a page imports browser-only files, and it imports nothing that is only for Node', () => {
  const isOfPage = (path: string) => folderOf(path) === 'page' || browserFiles.test(path)
  const misplaced = importsThat(
    ({ from, target, specifier }) =>
      (target !== null && browserFiles.test(target) && !isOfPage(from)) ||
      (isOfPage(from) &&
        !pageBuild.test(from) &&
        (/^(node:|undici\b)/.test(specifier) || (target !== null && nodeFiles.test(target)))),
  )
  expect(misplaced).toEqual([])
})

test('everything that the page loads from other folders runs in a browser, and does not evaluate text', () => {
  const shared = ['async', 'client', 'digests', 'parts', 'protocol', 'receiver', 'sender', 'tree', 'trust']
  for (const entry of ['src/page/main.tsx', ...shared.map((room) => `src/${room}/index.ts`)]) {
    expect(
      [...loadedInBrowserWith(entry)].filter((name) => /^(node:|undici\b|typebox\/compile)/.test(name)),
      entry,
    ).toEqual([])
  }
})

test('Node provides the only HTTP client, and only the transport for Node uses it', () => {
  const packages = imports.filter(({ specifier }) => /^(?:undici|axios|got|node-fetch)\b/.test(specifier))
  expect(packages.map(line)).toEqual([])
  const users = sources.filter(({ text }) => /getBuiltinModule\('node:https?'\)/.test(text)).map(({ path }) => path)
  expect(users).toEqual(['src/client/node-routes.ts'])
})

test('digests are computed in src/digests only', () => {
  const libraries = /^(?:@napi-rs\/blake-hash|@noble\/hashes)/
  const users = imports.filter(({ specifier, from }) => libraries.test(specifier) && !from.startsWith('src/digests/'))
  expect(users.map(line)).toEqual([])
})

test('the contracts of ledger and store import no driver', () => {
  const ledger = ['contract', 'accounts-contract', 'records-contract', 'watch-contract'].map(
    (name) => `src/portal/ledger/${name}.ts`,
  )
  const contracts = [...ledger, 'src/portal/store/contract.ts']
  const allowed = /^src\/(protocol|parts)\/index\.ts$|^node:stream$|^src\/portal\/ledger\/[a-z-]*contract\.ts$/
  for (const contract of contracts) expect(sources.some(({ path }) => path === contract)).toBe(true)
  const bound = importsThat(
    ({ from, target, specifier, kind }) =>
      contracts.includes(from) && (kind !== 'type' || !allowed.test(target ?? specifier)),
  )
  expect(bound).toEqual([])
})

test('only ledger, signals and the log of small files use a database; the folder lock uses one for its lock', () => {
  const users = importsThat(
    ({ from, specifier, kind }) =>
      databaseDrivers.test(specifier) &&
      !from.startsWith('src/portal/ledger/') &&
      !(from === 'src/fs/folder-lock.ts' && kind === 'dynamic') &&
      !(from === 'src/receiver/node-delivery-log.ts' && kind !== 'static') &&
      !(from === 'src/portal/signals/postgres-link.ts' && kind !== 'static'),
  )
  expect(users).toEqual([])
})

test('the client of PostgreSQL is loaded only by a portal that is configured for one', () => {
  expect(importsThat(({ specifier, kind }) => /^pg\b/.test(specifier) && kind === 'static')).toEqual([])
})

test('the SDK of an S3 store is loaded only by a portal that is configured for one', () => {
  const elsewhere = importsThat(
    ({ from, specifier }) => specifier.startsWith('@aws-sdk/') && !from.startsWith('src/portal/store/s3/'),
  )
  expect(elsewhere).toEqual([])
  // A portal without S3 loads nothing of it, and neither does code that only parses the address.
  for (const entry of ['src/portal/index.ts', 'src/portal/store/s3/address.ts']) {
    expect(
      [...loadedWith(entry)].filter((name) => name.startsWith('@aws-sdk/')),
      entry,
    ).toEqual([])
  }
  expect([...loadedWith('src/portal/store/s3.ts')].some((name) => name.startsWith('@aws-sdk/'))).toBe(true)
})

test('sending and receiving load neither a database nor a server', () => {
  const heavy = /^(node:sqlite|kysely|pg|@aws-sdk\/|fastify|@fastify\/|prom-client)/
  const entries = sources.map(({ path }) => path).filter((path) => /^src\/(sender\/|receiver\/|index\.ts)/.test(path))
  for (const entry of entries) {
    expect(
      [...loadedWith(entry)].filter((name) => heavy.test(name)),
      entry,
    ).toEqual([])
  }
})
