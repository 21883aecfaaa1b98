/**
 * A real browser at a real portal. Tests call functions of any module of the sources, or of `test/page/browser`, inside a page
 * that has the security headers of the portal's own page:
 *
 *     await using page = await browserPage({ portalUrl })
 *     const digest = await page.run<string>('src/page/platform/part-workers.ts', 'digestLent', 'sha-256', bytes)
 */
import type { BrowserContext, LaunchOptions, Page } from 'playwright-core'
import { serverFolder } from '../../servers/run.ts'
import { engine, launchWithProfile, limitStorage, pidOf, quotaPreference, reportViolations } from './engine.ts'
import { Origin } from './origin.ts'

export interface BrowserOptions {
  /** The portal behind the page's origin; null for none. */
  readonly portalUrl?: string | null
  /** The path of the portal in its origin, such as `/gl`. */
  readonly prefix?: string
  /** What the browser keeps: one that was used before finds its databases and files again at the same origin. It is a process of its own. */
  readonly profileFolder?: string
  /** An origin that outlives the browser. By default the browser opens one and closes it. */
  readonly origin?: Origin
  /** What an origin may keep in the browser, at most; 10 MiB or more. Firefox is then a process of its own. */
  readonly quotaBytes?: number
}

/** The processor draws instead of a GPU. The options keep rendering cheap and switch animation off. */
const PLAIN_DRAWING = ['--disable-dev-shm-usage', '--disable-gpu', '--disable-software-rasterizer']

interface Call {
  readonly url: string
  readonly name: string
  readonly args: readonly unknown[]
}

/**
 * Defines the function that calls a module inside a page. It is text, because Vitest rewrites `import` in functions.
 */
const DEFINE_CALL = 'globalThis.callModule = async ({ url, name, args }) => (await import(url))[name](...args)'

export class BrowserPage {
  readonly context: BrowserContext
  readonly page: Page
  readonly origin: Origin
  /** Console errors, uncaught exceptions, and violations of the security policy. */
  readonly complaints: string[] = []
  readonly #pid: number
  readonly #ending: AsyncDisposableStack

  constructor(context: BrowserContext, page: Page, origin: Origin, pid: number, ending: AsyncDisposableStack) {
    this.context = context
    this.page = page
    this.origin = origin
    this.#pid = pid
    this.#ending = ending
    page.on('console', (message) => {
      if (message.type() === 'error') this.complaints.push(message.text())
    })
    page.on('pageerror', (error) => this.complaints.push(error.stack ?? error.message))
  }

  /** Another tab of the same browser, at the empty page. */
  async tab(): Promise<BrowserPage> {
    const page = await this.context.newPage()
    this.#ending.defer(() => closed(page))
    await page.goto(this.origin.emptyPageUrl)
    return new BrowserPage(this.context, page, this.origin, this.#pid, new AsyncDisposableStack())
  }

  /**
   * Calls an exported function inside the page. The module stays as it is loaded, with what it remembers, until the page is
   * loaded again.
   *
   * @param path of the module, relative to the repository
   * @param args what can be cloned: JSON, and typed arrays
   */
  async run<Result>(path: string, name: string, ...args: readonly unknown[]): Promise<Result> {
    const call = { url: this.origin.moduleUrl(path), name, args }
    return this.page.evaluate(
      (call) => (globalThis as unknown as { callModule(call: Call): Promise<Result> }).callModule(call),
      call,
    )
  }

  /** Reloads as a user does. The page gets no time to end its work. */
  async reload(): Promise<void> {
    await this.page.reload()
  }

  /** Kills all processes of the browser at once. The shared one is started again, with what it has kept, by the next page of it. */
  async kill(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.context.once('close', () => resolve()))
    if (shared !== null && (await shared) === this.context) shared = null
    process.kill(this.#pid, 'SIGKILL')
    await closed
    await this.close()
  }

  async close(): Promise<void> {
    await this.#ending.disposeAsync()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/**
 * Opens a page. Without a folder of its own it is a page of the one browser that all tests of this process share: whatever a browser keeps
 * belongs to an origin, and each page has its own. It ends with `close`, and at the latest with the test run.
 */
export async function browserPage(options: BrowserOptions = {}): Promise<BrowserPage> {
  await using starting = new AsyncDisposableStack()
  const origin = options.origin ?? (await freshOrigin(options))
  if (options.origin === undefined) starting.defer(() => origin.close())
  const { profileFolder, quotaBytes } = options
  // Firefox reads the limit of an origin when it starts.
  const isShared = profileFolder === undefined && (quotaBytes === undefined || engine === 'chromium')
  const context = await (isShared ? sharedContext() : launched(profileFolder ?? serverFolder('browser'), quotaBytes))
  if (!isShared) starting.defer(() => closed(context))
  const page = isShared ? await context.newPage() : (context.pages()[0] ?? (await context.newPage()))
  if (isShared) starting.defer(() => closed(page))
  const pid = await pidOf(context)
  await page.goto(origin.emptyPageUrl)
  if (quotaBytes !== undefined) await limitStorage(page, quotaBytes)
  return new BrowserPage(context, page, origin, pid, starting.move())
}

/** Ports of origins that the shared browser knows. */
const known = new Set<string>()

/** An origin of which the shared browser keeps nothing: a port that was closed may be given out again. */
export async function freshOrigin({
  portalUrl = null,
  prefix,
}: Pick<BrowserOptions, 'portalUrl' | 'prefix'>): Promise<Origin> {
  const origin = await Origin.open(portalUrl, prefix)
  const { port } = new URL(origin.url)
  if (!known.has(port)) {
    known.add(port)
    return origin
  }
  try {
    return await freshOrigin({ portalUrl, ...(prefix === undefined ? {} : { prefix }) })
  } finally {
    await origin.close()
  }
}

let shared: Promise<BrowserContext> | null = null
let sharedFolder: string | null = null

function sharedContext(): Promise<BrowserContext> {
  sharedFolder ??= serverFolder('browser')
  shared ??= launched(sharedFolder)
  return shared
}

async function launched(profileFolder: string, quotaBytes?: number): Promise<BrowserContext> {
  const contextOptions = { reducedMotion: 'reduce', locale: 'en-GB', viewport: { width: 1280, height: 800 } } as const
  const context = await launchWithProfile(profileFolder, contextOptions, launchOptions(quotaBytes))
  await context.addInitScript({ content: DEFINE_CALL })
  await reportViolations(context)
  return context
}

/** Closes what may have been closed already, or killed. */
async function closed(one: BrowserContext | Page): Promise<void> {
  await one.close().catch(() => {})
}

function launchOptions(quotaBytes: number | undefined): LaunchOptions {
  if (engine === 'chromium') return { args: PLAIN_DRAWING }
  return quotaBytes === undefined ? {} : { firefoxUserPrefs: quotaPreference(quotaBytes) }
}
