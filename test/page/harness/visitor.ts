/**
 * A user at the page: a real browser at the address of a real portal. The harness finds elements by their visible text
 * and by their accessible names, and never by the structure of the page.
 *
 * When a test ends, the harness checks every visit: no console error, no violation of the security policy, no request
 * to another host than the portal, and no secret in any address.
 */
import type { Browser, BrowserContext, Locator, Page } from 'playwright-core'
import { afterAll, expect, onTestFinished } from 'vitest'
import {
  downloaded,
  engine,
  launchBrowser,
  launchFirefox,
  launchWithProfile,
  pidOf,
  pidsOf,
  possible,
  reportViolations,
} from './engine.ts'

/** The timeout for steps that involve a file, a process or a portal on a busy machine. */
const WAIT_MS = 240_000

export interface VisitOptions {
  /** The profile folder. With it the visit has a browser of its own, which a test can kill. */
  readonly profileFolder?: string
  /** A private window. Chromium's test windows are private unless they have a profile folder. */
  readonly isPrivate?: boolean
  readonly viewport?: { readonly width: number; readonly height: number }
  readonly colorScheme?: 'light' | 'dark'
  /** The device pixel ratio. */
  readonly deviceScaleFactor?: number
  /** A phone: a touch screen without a mouse. */
  readonly isMobile?: boolean
  readonly hasTouch?: boolean
  /** Lets a test add scripts to the page, which its security policy forbids. */
  readonly bypassCSP?: boolean
}

export type View = 'Send' | 'Receive' | 'History' | 'You' | 'Portal'

/**
 * Functions that run inside the page. They need the DOM types, so this module does not import them in the usual way.
 */
const INSIDE_URL = new URL('../browser/inside.ts', import.meta.url).href

/** The shared browser for visits without one of their own. Each visit has separate data. */
let shared: Promise<Browser> | null = null

afterAll(async () => {
  await (await shared)?.close()
  shared = null
})

/** One visit at a portal, in a browser or a context of its own. It ends with the test. */
export async function openVisit(options: VisitOptions = {}): Promise<Visitor> {
  const {
    profileFolder,
    isPrivate = false,
    viewport = { width: 1280, height: 800 },
    colorScheme = 'light',
    ...others
  } = options
  const contextOptions = { locale: 'en-GB', viewport, colorScheme, acceptDownloads: true, ...others }
  let context: BrowserContext
  const isPhone = others.isMobile === true
  if (engine === 'firefox' && (isPrivate || isPhone || colorScheme !== 'light')) {
    context = await launchFirefox({ isPrivate, colorScheme, isPhone }, contextOptions)
  } else if (profileFolder === undefined) {
    shared ??= launchBrowser()
    context = await (await shared).newContext(possible(contextOptions))
  } else {
    context = await launchWithProfile(profileFolder, contextOptions)
  }
  await reportViolations(context)
  return new Visitor(context, context.pages()[0] ?? (await context.newPage()))
}

export class Visitor {
  readonly context: BrowserContext
  readonly page: Page
  /** Console errors, uncaught exceptions, and violations of the security policy. */
  readonly complaints: string[] = []
  /** The addresses of all requests. */
  readonly asked: string[] = []
  /** The allowed origin: that of the first visited address. */
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

  /** The checks that every visit must pass. */
  expectQuiet(): void {
    expect(this.complaints).toEqual([])
    expect(this.asked.filter((url) => /gl(?:[tiqr]|gp?)_/.test(url))).toEqual([])
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
      // Many tests stop the portal or provoke a refusal. The browser logs each failed request.
      const isAnswer = message.text().startsWith('Failed to load resource')
      if (message.type() === 'error' && !isAnswer) this.complaints.push(message.text())
    })
    page.on('pageerror', (error) => this.complaints.push(error.stack ?? error.message))
    page.on('request', (request) => this.asked.push(request.url()))
  }

  pid(): Promise<number> {
    return pidOf(this.context)
  }

  /** All processes of this browser. A page's memory is spread over several of them. */
  pids(): Promise<number[]> {
    return pidsOf(this.context)
  }

  /** Opens an address of the portal. */
  async open(url: string): Promise<void> {
    this.#origin ??= new URL(url).origin
    await this.page.goto(url)
  }

  /** Joins by an invite link, as a user does. */
  async join(link: string): Promise<void> {
    await this.open(link)
    await this.page.getByRole('button', { name: 'Join', exact: true }).click()
    await this.isMember()
  }

  /** Calls a function of `test/page/browser/inside.ts` inside the page. */
  async inside<Result>(name: string, arg: unknown = null): Promise<Result> {
    return this.page.evaluate(await insideFunction(name), arg)
  }

  /** Calls the function in each page before its own scripts run. */
  async insideFirst(name: string, arg: unknown = null): Promise<void> {
    await this.context.addInitScript(await insideFunction(name), arg)
  }

  /** Resolves when the page shows the account. */
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

  /** Drags files and folders over the page, and drops them. */
  async drop(paths: readonly string[]): Promise<void> {
    const session = await this.context.newCDPSession(this.page)
    const at = { x: 200, y: 300, data: { items: [], files: [...paths], dragOperationsMask: 1 } }
    for (const type of ['dragEnter', 'dragOver', 'drop'] as const) {
      await session.send('Input.dispatchDragEvent', { type, ...at })
    }
    await session.detach()
  }

  /** Adds the receivers of the chosen files. */
  async addReceiver(name: string): Promise<void> {
    await this.page.getByLabel('To', { exact: true }).fill(name)
    await this.page.getByRole('button', { name: 'Add', exact: true }).click()
    await this.page.getByRole('button', { name: `Remove ${name}`, exact: true }).waitFor()
  }

  async pressSend(): Promise<void> {
    await this.page.getByRole('button', { name: /^Send (it|\d.*) to / }).click()
  }

  /** Sends files by their paths, without waiting for a result. */
  async send(paths: readonly string[], to: readonly string[], { isSealed = true } = {}): Promise<void> {
    await this.goTo('Send')
    await this.choose(paths)
    for (const name of to) await this.addReceiver(name)
    if (!isSealed) await this.page.getByRole('checkbox', { name: /^Sealed/ }).uncheck()
    await this.pressSend()
  }

  /** The card of an outgoing or incoming file. */
  card(name: string): Card {
    return new Card(this.page, this.page.getByRole('article', { name, exact: true }))
  }

  /** Runs an action that starts a download. Resolves with the name and the path once the file is complete. */
  download(act: () => Promise<unknown>): Promise<{ name: string; path: string }> {
    return downloaded(this.page, act)
  }

  /** Kills all processes of the browser at once. It needs a browser of its own. */
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

/** The card of one file. */
export class Card {
  readonly #page: Page
  readonly locator: Locator

  constructor(page: Page, locator: Locator) {
    this.#page = page
    this.locator = locator
  }

  /** Resolves when the card shows this phase. */
  async phase(phase: string): Promise<void> {
    try {
      await this.locator.and(this.#page.locator(`[data-phase="${phase}"]`)).waitFor()
    } catch (cause) {
      throw new Error(`it never was "${phase}"; the page says: ${await this.#page.locator('body').innerText()}`, {
        cause,
      })
    }
  }

  /** Resolves when the card contains the text. */
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

  /** Presses one of its buttons. Every button also names the file. */
  async press(action: string): Promise<void> {
    await this.locator.getByRole('button', { name: action }).click()
  }

  /** The text alternative of the picture. */
  async picture(): Promise<string> {
    return (await this.locator.getByRole('img').getAttribute('aria-label')) ?? ''
  }

  /** The drawn progress of the first hop, from 0 to 1. */
  async firstHopShare(): Promise<number> {
    const first = (await this.picture()).split('; ')[0] ?? ''
    const [, percent] = /(\d+) percent/.exec(first) ?? []
    if (percent !== undefined) return Number(percent) / 100
    return first.includes('stored') ? 1 : 0
  }
}
