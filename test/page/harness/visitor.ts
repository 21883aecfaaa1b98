/**
 * A person at the page: a real Chromium at the address of a real portal. What the person looks for is found by what stands on the
 * page, and by what a screen reader says of it, never by how the page is built.
 *
 * What holds for every visit is looked at when its test ends: no error in the console, no violation of the security policy, no
 * request to anybody but the portal, and no secret in any address.
 */
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core'
import { afterAll, expect, onTestFinished } from 'vitest'
import { programPath, requireServer } from '../../servers/install.ts'
import { record } from '../../servers/run.ts'

/** For what takes part of a file, a process or a portal: the machine may be busy. */
const WAIT_MS = 30_000

export interface VisitOptions {
  /** What the browser keeps. With it the browser is one of its own, which can be killed. */
  readonly profileFolder?: string
  readonly viewport?: { readonly width: number; readonly height: number }
  readonly colorScheme?: 'light' | 'dark'
  /** Sharper pictures than those of a plain screen. */
  readonly deviceScaleFactor?: number
  /** Lets a test bring scripts of its own into the page, which its security policy forbids. */
  readonly bypassCSP?: boolean
}

export type View = 'Send' | 'Receive' | 'History' | 'You' | 'Portal'

const settings = { args: ['--disable-dev-shm-usage'], chromiumSandbox: false }
/** What is done inside the page. Its types are those of a browser, so that it is not imported here as others are. */
const INSIDE_URL = new URL('../browser/inside.ts', import.meta.url).href

/** One browser for all visits of a test file that need none of their own: each visit has its own data in it. */
let shared: Promise<Browser> | null = null

afterAll(async () => {
  await (await shared)?.close()
  shared = null
})

async function launch(): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: programPath('chromium'), ...settings })
  record((await processesOf(browser, 'browser'))[0] ?? 0, 'SIGKILL')
  return browser
}

/** The processes of a browser: all, or those of one type, `browser` for the one that has all others. */
async function processesOf(browser: Browser, type: string | null): Promise<number[]> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  return processInfo.filter((one) => type === null || one.type === type).map(({ id }) => id)
}

/** One visit at a portal: a browser of one's own, or as good as that. It ends with the test. */
export async function openVisit(options: VisitOptions = {}): Promise<Visitor> {
  await requireServer('chromium')
  const { profileFolder, viewport = { width: 1280, height: 800 }, colorScheme = 'light', ...others } = options
  const contextOptions = { locale: 'en-GB', viewport, colorScheme, acceptDownloads: true, ...others }
  let context: BrowserContext
  if (profileFolder === undefined) {
    shared ??= launch()
    context = await (await shared).newContext(contextOptions)
  } else {
    const own = { executablePath: programPath('chromium'), ...settings, ...contextOptions }
    context = await chromium.launchPersistentContext(profileFolder, own)
  }
  const visitor = new Visitor(context, context.pages()[0] ?? (await context.newPage()))
  if (profileFolder !== undefined) record(await visitor.pid(), 'SIGKILL')
  return visitor
}

export class Visitor {
  readonly context: BrowserContext
  readonly page: Page
  /** Errors in the console, what nobody caught, and violations of the security policy. */
  readonly complaints: string[] = []
  /** The addresses of all requests. */
  readonly asked: string[] = []
  /** Where requests may go; the first address that was visited. */
  #origin: string | null = null
  #isClosed = false

  constructor(context: BrowserContext, page: Page) {
    this.context = context
    this.page = page
    this.#watch(page)
    context.once('close', () => {
      this.#isClosed = true
    })
    onTestFinished(async () => {
      await this.close()
      this.expectQuiet()
    })
  }

  /** What must hold for everybody who looks at the page. */
  expectQuiet(): void {
    expect(this.complaints).toEqual([])
    expect(this.asked.filter((url) => /gl[ti]_/.test(url))).toEqual([])
    const elsewhere = this.asked.filter((url) => /^\w+:\/\//.test(url) && new URL(url).origin !== this.#origin)
    expect(elsewhere).toEqual([])
  }

  /** Another tab of the same browser. */
  async tab(): Promise<Page> {
    const page = await this.context.newPage()
    this.#watch(page)
    return page
  }

  #watch(page: Page): void {
    page.setDefaultTimeout(WAIT_MS)
    page.on('console', (message) => {
      // A portal that is away, or refuses something, is what many tests are about. The browser reports each time.
      const isAnswer = message.text().startsWith('Failed to load resource')
      if (message.type() === 'error' && !isAnswer) this.complaints.push(message.text())
    })
    page.on('pageerror', (error) => this.complaints.push(error.stack ?? error.message))
    page.on('request', (request) => this.asked.push(request.url()))
  }

  async pid(): Promise<number> {
    return (await processesOf(this.#browser, 'browser'))[0] ?? 0
  }

  /** All processes of this browser: what it keeps for a page is not all in that page's own. */
  pids(): Promise<number[]> {
    return processesOf(this.#browser, null)
  }

  get #browser(): Browser {
    const browser = this.context.browser()
    if (browser === null) throw new Error('a context without a browser')
    return browser
  }

  /** Opens an address of the portal. */
  async open(url: string): Promise<void> {
    this.#origin ??= new URL(url).origin
    await this.page.goto(url)
  }

  /** Joins as a person does who was given a link. */
  async join(link: string): Promise<void> {
    await this.open(link)
    await this.page.getByRole('button', { name: 'Join', exact: true }).click()
    await this.isMember()
  }

  /** Calls a function of `test/page/browser/inside.ts` inside the page. */
  async inside<Result>(name: string, arg: unknown = null): Promise<Result> {
    return this.page.evaluate(await insideFunction(name), arg)
  }

  /** Calls it in each page before anything of its own runs. */
  async insideFirst(name: string, arg: unknown = null): Promise<void> {
    await this.context.addInitScript(await insideFunction(name), arg)
  }

  /** Resolves when the page is that of somebody who has joined. */
  async isMember(): Promise<void> {
    await this.page.getByRole('navigation', { name: 'Views' }).waitFor()
  }

  async goTo(view: View): Promise<void> {
    await this.page
      .getByRole('navigation', { name: 'Views' })
      .getByRole('link', { name: new RegExp(`^${view}`) })
      .click()
  }

  /** Chooses files, by their paths. */
  async choose(paths: readonly string[]): Promise<void> {
    await this.page.locator('input[data-for="files"]').setInputFiles(paths)
  }

  async chooseFolder(path: string): Promise<void> {
    await this.page.locator('input[data-for="folder"]').setInputFiles(path)
  }

  /** Drags files and folders from elsewhere over the page, and lets go. */
  async drop(paths: readonly string[]): Promise<void> {
    const session = await this.context.newCDPSession(this.page)
    const at = { x: 200, y: 300, data: { items: [], files: [...paths], dragOperationsMask: 1 } }
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await session.send('Input.dispatchDragEvent', { type, ...at })
    }
    await session.detach()
  }

  /** Says who is to receive what was chosen. */
  async addReceiver(name: string): Promise<void> {
    await this.page.getByLabel('To', { exact: true }).fill(name)
    await this.page.getByRole('button', { name: 'Add', exact: true }).click()
    await this.page.getByRole('button', { name: `Not to ${name}`, exact: true }).waitFor()
  }

  async pressSend(): Promise<void> {
    await this.page.getByRole('button', { name: /^Send (it|\d+ files) to / }).click()
  }

  /** Sends files, by their paths; does not wait for anything to come of it. */
  async send(paths: readonly string[], to: readonly string[], { isSealed = true } = {}): Promise<void> {
    await this.goTo('Send')
    await this.choose(paths)
    for (const name of to) await this.addReceiver(name)
    if (!isSealed) await this.page.getByRole('checkbox', { name: /^Sealed/ }).uncheck()
    await this.pressSend()
  }

  /** The card of a file that is sent, or comes in. */
  card(name: string): Card {
    return new Card(this.page, this.page.getByRole('article', { name, exact: true }))
  }

  /** Begins to listen for a download; resolves with its name and where it lies once it is there. */
  async download(act: () => Promise<unknown>): Promise<{ name: string; path: string }> {
    const [download] = await Promise.all([this.page.waitForEvent('download'), act()])
    return { name: download.suggestedFilename(), path: await download.path() }
  }

  /** Kills the browser, all of it, at once. It has to be one of its own. */
  async kill(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.context.once('close', () => resolve()))
    process.kill(await this.pid(), 'SIGKILL')
    await closed
  }

  async close(): Promise<void> {
    if (!this.#isClosed) await this.context.close()
  }
}

/** A function of `test/page/browser/inside.ts`, to be called in a page. */
export async function insideFunction<Result>(name: string): Promise<(arg: unknown) => Promise<Result>> {
  const functions = await import(INSIDE_URL)
  if (!(name in functions)) throw new Error(`there is no ${name} in ${INSIDE_URL}`)
  return functions[name]
}

/** What is shown of one file. */
export class Card {
  readonly #page: Page
  readonly locator: Locator

  constructor(page: Page, locator: Locator) {
    this.#page = page
    this.locator = locator
  }

  /** Resolves when it has come to this. */
  async phase(phase: string): Promise<void> {
    try {
      await this.locator.and(this.#page.locator(`[data-phase="${phase}"]`)).waitFor()
    } catch (cause) {
      throw new Error(`it never was "${phase}"; the page says: ${await this.#page.locator('body').innerText()}`, {
        cause,
      })
    }
  }

  /** Resolves when that stands in it. */
  async says(text: string | RegExp): Promise<void> {
    try {
      await this.locator.getByText(text).first().waitFor()
    } catch (cause) {
      throw new Error(`it never said "${text}", but: ${await this.text()}`, { cause })
    }
  }

  text(): Promise<string> {
    return this.locator.innerText()
  }

  /** Presses one of its buttons; all of them name the file as well. */
  async press(action: string): Promise<void> {
    await this.locator.getByRole('button', { name: action }).click()
  }

  /** The picture of the two hops, in words. */
  async picture(): Promise<string> {
    return (await this.locator.getByRole('img').getAttribute('aria-label')) ?? ''
  }

  /** How much of it the picture shows as having got through the first hop, from 0 to 1. */
  async firstHopShare(): Promise<number> {
    const first = (await this.picture()).split('; ')[0] ?? ''
    const [, percent] = /(\d+) percent/.exec(first) ?? []
    if (percent !== undefined) return Number(percent) / 100
    return first.includes('stored') ? 1 : 0
  }
}
