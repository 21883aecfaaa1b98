/** A sender in a real browser, a proxy that records and stalls requests, a real portal, and a receiver on the command line. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import type { JournalEntry, SendEvent, SendOutcome } from '../../src/sender/index.ts'
import { until } from '../e2e/harness/world.ts'
import type { Asked, EvilPortal } from '../e2e/trust/evil-portal.ts'
import { PART_BYTES, type Scene, sceneWith, secretOf } from '../e2e/trust/scene.ts'
import { type Account, type Chosen, type ChosenFolder, fileContent } from './chosen.ts'
import { type BrowserPage, browserPage } from './harness/browser.ts'

export const MODULE = 'test/page/browser/sender.ts'
export const PARTS = 6
export const LAST_MODIFIED = 1_700_000_000_000

export interface BrowserScene extends Scene {
  readonly browser: BrowserPage
  readonly account: Account
}

/** Alice in a browser, bob on the command line. */
export async function browserScene(portalFlags: readonly string[] = [], isSealing = true): Promise<BrowserScene> {
  const scene = await sceneWith(['alice', 'bob'], portalFlags)
  onTestFinished(() => scene[Symbol.asyncDispose]())
  const browser = await browserPage({ portalUrl: scene.evil.url })
  onTestFinished(() => browser.close())
  const account = await accountOf(scene, isSealing)
  expect(await begin(browser, account)).toBeNull()
  return { ...scene, browser, account }
}

export async function accountOf({ world }: Scene, isSealing = true): Promise<Account> {
  return { name: 'alice', token: await world.token('alice'), keys: await secretOf(world, 'alice'), isSealing }
}

export const begin = (browser: BrowserPage, account: Account) => browser.run<string | null>(MODULE, 'begin', account)
export const send = (browser: BrowserPage, chosen: Chosen | ChosenFolder) =>
  browser.run<number>(MODULE, 'entries' in chosen ? 'sendFolder' : 'send', chosen)
export const outcome = (browser: BrowserPage, sending: number) => browser.run<SendOutcome>(MODULE, 'outcome', sending)
export const unfinished = (browser: BrowserPage) => browser.run<JournalEntry[]>(MODULE, 'unfinished')

export async function startedOf(browser: BrowserPage, sending: number) {
  const events = await browser.run<SendEvent[]>(MODULE, 'events', sending)
  return events.filter((event) => event.type === 'started')
}

export function fileOf(partCount: number, seed = 1, name = 'report.bin'): Chosen {
  return { name, sizeBytes: partCount * PART_BYTES, seed, lastModified: LAST_MODIFIED }
}

export async function expectReceived({ world }: Scene, { name, seed, sizeBytes }: Chosen): Promise<void> {
  const received = await readFile(join(world.inbox('bob'), name))
  expect(received.equals(fileContent(seed, sizeBytes)), `${name} arrived as it was`).toBe(true)
}

export const isPart =
  (partNumber: number) =>
  ({ method, path }: Asked): boolean =>
    method === 'PUT' && path.endsWith(`/parts/${partNumber}`)

/** Passes some bytes of a matching request, and stalls it. */
export function hang(evil: EvilPortal, isIt: (asked: Asked) => boolean, afterBytes = Number.POSITIVE_INFINITY): void {
  evil.lies = { hangs: (asked) => (isIt(asked) ? { afterBytes } : null) }
}

export function came({ requests }: EvilPortal, isIt: (asked: Asked) => boolean, bytes = 1): Promise<void> {
  return until(() => requests.some((one) => isIt(one) && one.body.length >= bytes), 'the request has come')
}

/**
 * Sends until a part stalls, then reloads the page.
 *
 * @returns the transfer
 */
export async function reloadedAt(
  { evil, browser, account }: BrowserScene,
  chosen: Chosen | ChosenFolder,
  part: number,
): Promise<string> {
  hang(evil, isPart(part))
  const sending = await send(browser, chosen)
  await came(evil, isPart(part), PART_BYTES)
  const [started] = await startedOf(browser, sending)
  await browser.reload()
  evil.lies = {}
  expect(await begin(browser, account)).toBeNull()
  return started?.transferId ?? ''
}
