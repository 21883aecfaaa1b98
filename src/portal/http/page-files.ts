/** The built files of the web page: read once, and served from memory. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { hasCode } from '../../fs/index.ts'
import { pageFolder } from '../options.ts'

const DIGEST_LENGTH = 22

const mediaTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
}

export interface PageFile {
  readonly plain: Buffer
  /** The compressed content; null where it would not be smaller, as for pictures and fonts. */
  readonly brotli: Buffer | null
  readonly mediaType: string
  /** The base of its entity tags. */
  readonly digest: string
}

export interface WebPage {
  /** The page of an account. */
  readonly html: PageFile
  /** The page of a link, for people without an account. */
  readonly guestHtml: PageFile
  /** By name. A name contains a digest of the content. */
  readonly assets: ReadonlyMap<string, PageFile>
}

/** @returns null in a checkout where the page has not been built */
export async function readPage(): Promise<WebPage | null> {
  try {
    const html = await readPageFile(new URL('index.html', pageFolder))
    const guestHtml = await readPageFile(new URL('guest.html', pageFolder))
    const folder = new URL('assets/', pageFolder)
    const names = (await readdir(folder)).filter((name) => extname(name) in mediaTypes)
    const read = names.map(async (name) => [name, await readPageFile(new URL(name, folder))] as const)
    return { html, guestHtml, assets: new Map(await Promise.all(read)) }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  }
}

async function readPageFile(url: URL): Promise<PageFile> {
  const plain = await readFile(url)
  const brotli = await readFile(new URL(`${url.href}.br`)).catch((error) => {
    if (hasCode(error, 'ENOENT')) return null
    throw error
  })
  const digest = createHash('sha256').update(plain).digest('base64url').slice(0, DIGEST_LENGTH)
  const mediaType = mediaTypes[extname(url.pathname)] ?? 'application/octet-stream'
  return { plain, brotli: brotli === null || brotli.length >= plain.length ? null : brotli, mediaType, digest }
}
