/**
 * Selects the browser of the page tests. The Vitest project `firefox` runs the same test files in Debian's Firefox, by
 * WebDriver BiDi. Other projects use Chromium.
 */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  firefox,
  type LaunchOptions,
  type Page,
} from 'playwright-core'
import type { TestContext } from 'vitest'
import { hasCode } from '../../../src/fs/index.ts'
import { programPath, requireServer } from '../../servers/install.ts'
import { record, serverFolder } from '../../servers/run.ts'

export type Engine = 'chromium' | 'firefox'

/** The name from `vitest.config.ts`. */
export const engine: Engine = process.env.GOLOOADER_TEST_BROWSER === 'firefox' ? 'firefox' : 'chromium'

/** For a test that needs what Firefox's protocol lacks. The report gives the reason for the skip. */
export function inChromiumOnly({ skip }: TestContext, reason: string): void {
  skip(engine !== 'chromium', reason)
}

/** Environment variables of every browser process. */
const MARK = 'GOLOOADER_TEST_BROWSER_ID'
const DOWNLOAD_MS_MAX = 90_000
const LOOK_PAUSE_MS = 200
/** Firefox's protocol does not report violations of the security policy. The page reports them, in Chromium's words. */
const REPORT_VIOLATIONS = `addEventListener('securitypolicyviolation', ({ effectiveDirective, blockedURI }) =>
  console.error('Content Security Policy: ' + effectiveDirective + ' forbids ' + blockedURI))`

/** A browser that creates contexts. It ends with the test run at the latest. */
export async function launchBrowser(): Promise<Browser> {
  const { settings, launched } = await settingsOf()
  const browser = engine === 'firefox' ? await firefox.launch(settings) : await chromium.launch(settings)
  return noted(browser, launched)
}

/** A browser with a profile folder. */
export async function launchWithProfile(
  profileFolder: string,
  contextOptions: BrowserContextOptions,
  launchOptions: LaunchOptions = {},
): Promise<BrowserContext> {
  const { settings, launched } = await settingsOf()
  const type = engine === 'firefox' ? firefox : chromium
  const firefoxUserPrefs = { ...settings.firefoxUserPrefs, ...launchOptions.firefoxUserPrefs }
  const all = { ...settings, ...launchOptions, firefoxUserPrefs, ...possible(contextOptions) }
  const context = await type.launchPersistentContext(profileFolder, all)
  await noted(browserOf(context), launched)
  return context
}

async function noted(browser: Browser, launched: Launched): Promise<Browser> {
  browsers.set(browser, launched)
  record(await mainProcess(browser), 'SIGKILL')
  return browser
}

/** Settings that Firefox has for a whole browser, and Chromium for each context. */
export interface FirefoxWindow {
  /** Every window is private. */
  readonly isPrivate: boolean
  readonly colorScheme: 'light' | 'dark'
  /** A touch device without a mouse. */
  readonly isPhone: boolean
}

/** A separate Firefox. */
export function launchFirefox(
  { isPrivate, colorScheme, isPhone }: FirefoxWindow,
  contextOptions: BrowserContextOptions,
): Promise<BrowserContext> {
  const pointers = isPhone ? COARSE_POINTER : MOUSE
  const firefoxUserPrefs = {
    'browser.privatebrowsing.autostart': isPrivate,
    'layout.css.prefers-color-scheme.content-override': colorScheme === 'dark' ? 0 : 1,
    'ui.primaryPointerCapabilities': pointers,
    'ui.allPointerCapabilities': pointers,
  }
  return launchWithProfile(serverFolder('firefox'), contextOptions, { firefoxUserPrefs })
}

/** Values of Firefox's preferences: coarse is 1, fine 2, hover 4. */
const COARSE_POINTER = 1
const MOUSE = 2 + 4

/**
 * The options that this browser's protocol supports. Firefox's supports no colour scheme, no phone, and no bypass of
 * the policy.
 */
export function possible(options: BrowserContextOptions): BrowserContextOptions {
  if (engine === 'chromium') return options
  const { reducedMotion: _, colorScheme: __, isMobile: ___, hasTouch: ____, bypassCSP: _____, ...others } = options
  return others
}

/** Firefox reads it at start. Up to 10 MiB an origin gets the whole limit, and above 50 MiB a fifth of it. */
export function quotaPreference(quotaBytes: number): Record<string, number> {
  return { 'dom.quotaManager.temporaryStorage.fixedLimit': quotaBytes / 1024 }
}

/** Limits the storage of the page's origin. Firefox got the limit from `quotaPreference`. */
export async function limitStorage(page: Page, quotaBytes: number): Promise<void> {
  if (engine === 'firefox') return
  const session = await page.context().newCDPSession(page)
  await session.send('Storage.overrideQuotaForOrigin', { origin: new URL(page.url()).origin, quotaSize: quotaBytes })
}

/** Call it for each context. Chromium writes some violations to the console only. */
export async function reportViolations(context: BrowserContext): Promise<void> {
  if (engine === 'firefox') await context.addInitScript({ content: REPORT_VIOLATIONS })
}

/** The root process of a browser. */
export function pidOf(context: BrowserContext): Promise<number> {
  return mainProcess(browserOf(context))
}

/** All processes of a browser. */
export async function pidsOf(context: BrowserContext): Promise<number[]> {
  const browser = browserOf(context)
  if (engine === 'firefox') return markedProcesses(browser).map(({ pid }) => pid)
  return chromiumProcesses(browser, null)
}

/**
 * Runs an action that starts a download.
 *
 * @returns the name, and the path once the file is complete
 */
export async function downloaded(page: Page, act: () => Promise<unknown>): Promise<{ name: string; path: string }> {
  if (engine === 'chromium') {
    const [download] = await Promise.all([page.waitForEvent('download'), act()])
    return { name: download.suggestedFilename(), path: await download.path() }
  }
  // Firefox 153 reports downloads from memory without an id, so Playwright misses them. The harness watches the folder.
  const { downloadsFolder } = launchedOf(browserOf(page.context()))
  await rm(downloadsFolder, { recursive: true, force: true })
  await act()
  const deadline = performance.now() + DOWNLOAD_MS_MAX
  let before = ''
  while (performance.now() < deadline) {
    const names = await readdir(downloadsFolder).catch(() => [])
    const [name = '', ...others] = names
    const path = join(downloadsFolder, name)
    const sizeBytes = names.length === 0 ? 0 : (await stat(path).catch(() => ({ size: 0 }))).size
    const now = `${name} ${sizeBytes}`
    // During a download there are two files, one of them empty.
    if (others.length === 0 && sizeBytes > 0 && now === before) return { name, path }
    before = now
    await setTimeout(LOOK_PAUSE_MS)
  }
  throw new Error(`no download, but: ${before}`)
}

interface Launched {
  readonly mark: string
  readonly downloadsFolder: string
}

const browsers = new WeakMap<Browser, Launched>()

function launchedOf(browser: Browser): Launched {
  const launched = browsers.get(browser)
  if (launched === undefined) throw new Error('a browser that was not launched here')
  return launched
}

function browserOf(context: BrowserContext): Browser {
  const browser = context.browser()
  if (browser === null) throw new Error('a context without a browser')
  return browser
}

async function settingsOf(): Promise<{ settings: LaunchOptions; launched: Launched }> {
  await requireServer(engine)
  const launched = { mark: randomUUID(), downloadsFolder: join(serverFolder('downloads'), 'all') }
  const executablePath = programPath(engine === 'firefox' ? 'firefox-esr' : 'chromium')
  const env = { ...process.env, [MARK]: launched.mark }
  if (engine === 'chromium') {
    return { settings: { executablePath, env, args: ['--disable-dev-shm-usage'], chromiumSandbox: false }, launched }
  }
  const { downloadsFolder: downloadsPath } = launched
  const firefoxUserPrefs = {
    // Without a screen Firefox has no mouse.
    'ui.primaryPointerCapabilities': MOUSE,
    'ui.allPointerCapabilities': MOUSE,
    // Scrollbars take no room from a window, as in Chromium.
    'ui.useOverlayScrollbars': 1,
  }
  return { settings: { executablePath, env, channel: 'moz-firefox', downloadsPath, firefoxUserPrefs }, launched }
}

async function mainProcess(browser: Browser): Promise<number> {
  if (engine === 'chromium') return (await chromiumProcesses(browser, 'browser'))[0] ?? 0
  const all = markedProcesses(browser)
  const main = all.find(({ parent }) => all.every(({ pid }) => pid !== parent))
  if (main === undefined) throw new Error('the browser runs nowhere')
  return main.pid
}

async function chromiumProcesses(browser: Browser, type: string | null): Promise<number[]> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  await session.detach()
  return processInfo.filter((one) => type === null || one.type === type).map(({ id }) => id)
}

function markedProcesses(browser: Browser): { pid: number; parent: number }[] {
  const { mark } = launchedOf(browser)
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        if (!readFileSync(`/proc/${name}/environ`, 'utf8').includes(`${MARK}=${mark}`)) return []
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        // The fields after the program name: the state and the parent.
        const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return [{ pid: Number(name), parent: Number(parent) }]
      } catch (error) {
        // The process has just ended, or belongs to another user.
        if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES', 'EPERM')) return []
        throw error
      }
    })
}
