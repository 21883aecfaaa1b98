/** The documents of this repository. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { root } from './sources.ts'

export interface Page {
  /** The root of the repository. */
  readonly path: string
  readonly text: string
}

/** Every Markdown file of the repository, including untracked ones that are not ignored. */
export function readPages(): Page[] {
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '--deduplicate', '*.md'],
    {
      cwd: root,
      encoding: 'utf8',
    },
  )
  return listed
    .trim()
    .split('\n')
    .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }))
}

/** The text without code blocks, whose brackets are no links. */
export function proseOf({ text }: Page): string {
  return text.replace(/^```[\s\S]*?^```$/gm, '')
}

/** Code blocks in that language. */
export function blocksOf({ text }: Page, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, block = '']) => block)
}

/** The anchors that headings get, as GitHub makes them. */
export function anchorsOf(page: Page): Set<string> {
  const seen = new Map<string, number>()
  const headings = [...proseOf(page).matchAll(/^#+ (.+)$/gm)]
  return new Set(
    headings.map(([, heading = '']) => {
      const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      const anchor = plain
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
        .replaceAll(' ', '-')
      const count = seen.get(anchor) ?? 0
      seen.set(anchor, count + 1)
      return count === 0 ? anchor : `${anchor}-${count}`
    }),
  )
}

/** The link targets of a page, without those to the web. */
export function linksOf(page: Page): string[] {
  return [...proseOf(page).matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)].map(([, target = '']) => target)
}

/** The file that a link of a page leads to, and the anchor in it. */
export function targetOf({ path }: Page, link: string): { path: string; anchor: string | undefined } {
  const [file = '', anchor] = link.split('#')
  return { path: file === '' ? path : posix.normalize(posix.join(posix.dirname(path), file)), anchor }
}
