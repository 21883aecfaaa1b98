/**
 * A real Chromium at a real portal. Tests call functions of any module of the sources, or of `test/page/browser`, inside a page
 * that has the security headers of the portal's own page:
 *
 *     await using page = await browserPage({ portalUrl })
 *     const digest = await page.run<string>('src/page/platform/part-digests.ts', 'digestPart', 'sha-256', bytes)
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'
import { programPath, requireServer } from '../../servers/install.ts'
import { record } from '../../servers/run.ts'
import { Origin } from './origin.ts'

export interface BrowserOptions {
  /** The portal that the page's origin is; null for none. */
  readonly portalUrl?: string | null
  /** Path under which the portal stands in its origin: `/gl`. */
  readonly prefix?: string
  /** What the browser keeps: one that was used before finds its databases and files again at the same origin. */
  readonly profileFolder?: string
  /** An origin that outlives the browser; otherwise one is opened, and closed with it. */
  readonly origin?: Origin
  readonly locale?: string
  readonly viewport?: { width: number; height: number }
  readonly colorScheme?: 'light' | 'dark'
}

interface Call {
  readonly url: string
  readonly name: string
  readonly args: readonly unknown[]
}

/** Defines what calls a module inside a page. As text, because Vitest puts its own `import` in the place of a function's. */
const DEFINE_CALL = 'globalThis.callModule = async ({ url, name, args }) => (await import(url))[name](...args)'

export class BrowserPage {
  readonly context: BrowserContext
  readonly page: Page
  readonly origin: Origin
  /** Errors that the browser wrote to its console, exceptions that nobody caught, and violations of the security policy. */
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
    await page.goto(this.origin.emptyPageUrl)
    return new BrowserPage(this.context, page, this.origin, this.#pid, new AsyncDisposableStack())
  }

  /**
   * Calls an exported function inside the page. The module stays as it is loaded, with what it remembers, until the page is
   * loaded anew.
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

  /** As a user reloads: nothing of the page gets time to end. */
  async reload(): Promise<void> {
    await this.page.reload()
  }

  /** Kills the browser, all of it, at once. */
  async kill(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.context.once('close', () => resolve()))
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

/** Starts a browser with one page. It ends with `close`, and at the latest with the test run. */
export async function browserPage(options: BrowserOptions = {}): Promise<BrowserPage> {
  await requireServer('chromium')
  await using starting = new AsyncDisposableStack()
  const profileFolder = options.profileFolder ?? (await mkdtemp(join(tmpdir(), 'golooader-browser-')))
  if (options.profileFolder === undefined)
    starting.defer(() => rm(profileFolder, { recursive: true, force: true, maxRetries: 10 }))
  const origin = options.origin ?? (await Origin.open(options.portalUrl ?? null, options.prefix))
  if (options.origin === undefined) starting.defer(() => origin.close())
  const { locale = 'en-GB', viewport = { width: 1280, height: 800 }, colorScheme = 'light' } = options
  const context = await chromium.launchPersistentContext(profileFolder, {
    executablePath: programPath('chromium'),
    // What a GPU would draw is drawn by the processor here, and nobody looks: so as plainly as can be, and without moving.
    args: ['--disable-dev-shm-usage', '--disable-gpu', '--disable-software-rasterizer'],
    reducedMotion: 'reduce',
    chromiumSandbox: false,
    locale,
    viewport,
    colorScheme,
  })
  let isClosed = false
  context.once('close', () => {
    isClosed = true
  })
  starting.defer(async () => {
    if (!isClosed) await context.close()
  })
  await context.addInitScript({ content: DEFINE_CALL })
  const page = context.pages()[0] ?? (await context.newPage())
  const pid = await pidOf(context)
  record(pid, 'SIGKILL')
  await page.goto(origin.emptyPageUrl)
  return new BrowserPage(context, page, origin, pid, starting.move())
}

async function pidOf(context: BrowserContext): Promise<number> {
  const browser = context.browser()
  if (browser === null) throw new Error('a context without a browser')
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  const main = processInfo.find(({ type }) => type === 'browser')
  if (main === undefined) throw new Error('the browser does not say which process it is')
  return main.id
}
