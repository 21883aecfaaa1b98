/** A portal, a sender on the command line, and a browser whose page receives for bob. */
import { readFile } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import type { Decision, ReceiveEvent } from '../../../src/receiver/index.ts'
import { type BrowserPage, browserPage, freshOrigin } from '../../page/harness/browser.ts'
import type { Origin } from '../../page/harness/origin.ts'
import { FaultyNetwork } from '../harness/proxy.ts'
import { until, World } from '../harness/world.ts'

const MODULE = 'test/page/browser/receiving.ts'

export interface KeptInPage {
  readonly transferId: string
  readonly name: string
  readonly sizeBytes: number
  readonly digest: string
  readonly from: string | null
}

interface OpenOptions {
  readonly isAsking?: boolean
  readonly isStarted?: boolean
  /** The storage limit of the browser for the page. */
  readonly quotaBytes?: number
}

export class PageReceiver {
  readonly #world: World
  readonly #origin: Origin
  #browser: BrowserPage | null = null
  /** The tab that took over from the first one. */
  #tab: BrowserPage | null = null

  constructor(world: World, origin: Origin) {
    this.#world = world
    this.#origin = origin
  }

  get browser(): BrowserPage {
    if (this.#browser === null) throw new Error('there is no browser')
    return this.#tab ?? this.#browser
  }

  /**
   * Another tab takes over. The first one still runs.
   *
   * @returns a function that calls the first tab, which still runs
   */
  async takeOver(): Promise<(name: string) => Promise<unknown>> {
    const old = this.browser
    await this.run('giveWay')
    this.#tab = await old.tab()
    await this.start()
    return (name) => old.run(MODULE, name)
  }

  /** Starts the browser with its stored data, and the receiver in its page. */
  async open({ isAsking = false, isStarted = true, ...options }: OpenOptions = {}): Promise<void> {
    this.#browser = await browserPage({ origin: this.#origin, ...options })
    if (isStarted) await this.start({ isAsking })
  }

  async start({ isAsking = false } = {}): Promise<void> {
    const profile = this.#world.path('config', 'golooader', 'profiles', 'bob.json')
    const { token, keys } = JSON.parse(await readFile(profile, 'utf8'))
    await this.run('start', { portalUrl: this.#origin.url, account: 'bob', token, secret: keys, isAsking })
  }

  async reload(options = {}): Promise<void> {
    await this.browser.reload()
    await this.start(options)
  }

  async kill(): Promise<void> {
    await this.browser.kill()
    this.#browser = null
  }

  async close(): Promise<void> {
    await this.#browser?.close()
    this.#browser = null
  }

  run<Result>(name: string, ...args: readonly unknown[]): Promise<Result> {
    return this.browser.run<Result>(MODULE, name, ...args)
  }

  /** Resolves with the first event of that type since the page was loaded. */
  async event<Type extends ReceiveEvent['type']>(
    type: Type,
    isIt: (event: Extract<ReceiveEvent, { type: Type }>) => boolean = () => true,
  ): Promise<Extract<ReceiveEvent, { type: Type }>> {
    let found: Extract<ReceiveEvent, { type: Type }> | undefined
    await until(async () => {
      const events = await this.run<ReceiveEvent[]>('happened')
      found = events.find(
        (one): one is Extract<ReceiveEvent, { type: Type }> => one.type === type && isIt(one as never),
      )
      return found !== undefined
    }, `the page says "${type}"`)
    if (found === undefined) throw new Error(`no "${type}"`)
    return found
  }

  decide(transferId: string, decision: Decision): Promise<void> {
    return this.run('decide', transferId, decision)
  }

  kept(): Promise<KeptInPage[]> {
    return this.run('kept')
  }
}

/** @param portalArgs arguments of the portal command */
export async function scene(portalArgs: readonly string[] = []) {
  const world = await World.create()
  await world.portal(portalArgs)
  await world.join(['alice', 'bob'])
  const network = await FaultyNetwork.open(() => world.portalUrl)
  const origin = await freshOrigin({ portalUrl: network.url })
  const page = new PageReceiver(world, origin)
  onTestFinished(async () => {
    await page.close()
    await origin.close()
    await network[Symbol.asyncDispose]()
  })
  return { world, network, page }
}
