/**
 * `npm run screenshots`: makes the pictures of the page, in Chromium (`*.png`) and in Firefox (`firefox/*.png`). Everything in
 * them is real: a portal, senders and receivers of the command line, and a browser in which people send and receive.
 */
import { randomFillSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Browser, chromium, firefox, type LaunchOptions, type Page } from 'playwright-core'
import { BenchWorld } from '../../bench/world.ts'
import { invite, openLedger } from '../../src/portal/index.ts'
import { FaultyNetwork } from '../../test/e2e/harness/proxy.ts'

/** What the portal is called in the pictures. Each browser reaches it by a proxy, and takes its plain http for secure. */
const HOST = 'files.example'
/** Less high than what is shown: a picture is as high as it has to be. */
const WINDOW = { width: 1000, height: 400 }
const PHONE = { width: 390, height: 700 }
const MIB = 1024 * 1024
const INVITE_MS = 60_000
const WAIT_MS = 60_000
const SLOW_BYTES_PER_SECOND = 5 * MIB

const engines = {
  chromium: {
    programs: ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser'],
    folder: import.meta.dirname,
    launch: (settings: LaunchOptions): Promise<Browser> => {
      const args = [`--unsafely-treat-insecure-origin-as-secure=http://${HOST}`]
      return chromium.launch({ ...settings, args, chromiumSandbox: false })
    },
  },
  firefox: {
    programs: ['/usr/bin/firefox-esr', '/usr/bin/firefox'],
    folder: join(import.meta.dirname, 'firefox'),
    launch: (settings: LaunchOptions, colorScheme: ColorScheme): Promise<Browser> => {
      const firefoxUserPrefs = {
        // WebDriver BiDi sets no colour scheme for a context.
        'layout.css.prefers-color-scheme.content-override': colorScheme === 'dark' ? 0 : 1,
        'dom.securecontext.allowlist': HOST,
        // Without a screen Firefox has no mouse. The values: fine is 2, hover 4.
        'ui.primaryPointerCapabilities': 6,
        'ui.allPointerCapabilities': 6,
        // Scrollbars take no room, as in Chromium.
        'ui.useOverlayScrollbars': 1,
      }
      return firefox.launch({ ...settings, channel: 'moz-firefox', firefoxUserPrefs })
    },
  },
}
type Engine = keyof typeof engines
type ColorScheme = 'light' | 'dark'

/** In MiB. */
const sizes = {
  'Quarterly report.pdf': 2.3,
  'Floor plan, second floor.dwg': 11.4,
  'Interview, uncut.mov': 64,
  'Contract, signed.pdf': 0.4,
  'Site photos.zip': 18.7,
  'Draft of Monday.docx': 0.1,
} as const
type Name = keyof typeof sizes

class Scene implements AsyncDisposable {
  readonly world: BenchWorld
  readonly network: FaultyNetwork
  readonly browser: Browser
  readonly engine: Engine
  readonly colorScheme: ColorScheme

  private constructor(
    world: BenchWorld,
    network: FaultyNetwork,
    browser: Browser,
    engine: Engine,
    colorScheme: ColorScheme,
  ) {
    this.world = world
    this.network = network
    this.browser = browser
    this.engine = engine
    this.colorScheme = colorScheme
  }

  /** Alice, who sends; Bob, who receives; Erin, who is away. */
  static async open(engine: Engine, colorScheme: ColorScheme): Promise<Scene> {
    const { programs, launch } = engines[engine]
    const executablePath = programs.find((path) => existsSync(path))
    if (executablePath === undefined) throw new Error(`there is none of ${programs.join(', ')}`)
    await using starting = new AsyncDisposableStack()
    const world = starting.use(await BenchWorld.start({ senders: ['alice', 'erin'], receivers: ['bob'] }))
    const network = starting.use(await FaultyNetwork.open(() => world.portal.url))
    const browser = await launch({ executablePath, proxy: { server: network.url } }, colorScheme)
    starting.move()
    return new Scene(world, network, browser, engine, colorScheme)
  }

  async link(name: string, isOperator = false): Promise<string> {
    const ledger = await openLedger({ dataFolder: join(this.world.folder, 'portal') })
    const secret = await invite(ledger, name, INVITE_MS, { isOperator })
    await ledger.close()
    return `http://${HOST}/join#${secret}`
  }

  /** A page that has been opened with an invite. */
  async invited(name: string, isOperator = false): Promise<Page> {
    const { colorScheme } = this
    const context = await this.browser.newContext({ viewport: WINDOW, locale: 'en-GB', colorScheme })
    const page = await context.newPage()
    page.setDefaultTimeout(WAIT_MS)
    await page.goto(await this.link(name, isOperator))
    return page
  }

  /** A file of that name, made once. */
  async file(name: Name): Promise<string> {
    const path = join(this.world.folder, 'files', name)
    if (existsSync(path)) return path
    await mkdir(join(this.world.folder, 'files'), { recursive: true })
    await writeFile(path, randomFillSync(Buffer.alloc(Math.round(sizes[name] * MIB))))
    return path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.browser.close()
    await this.network[Symbol.asyncDispose]()
    await this.world[Symbol.asyncDispose]()
  }
}

async function joined(page: Page): Promise<Page> {
  await page.getByRole('button', { name: 'Join', exact: true }).click()
  await page.getByRole('navigation', { name: 'Views' }).waitFor()
  return page
}

async function goTo(page: Page, view: string): Promise<void> {
  await page
    .getByRole('navigation', { name: 'Views' })
    .getByRole('link', { name: new RegExp(`^${view}`) })
    .click()
}

async function send(scene: Scene, page: Page, name: Name, to: readonly string[]): Promise<void> {
  await goTo(page, 'Send')
  await page.locator('input[data-for="files"]').setInputFiles(await scene.file(name))
  for (const receiver of to) {
    await page.getByLabel('To', { exact: true }).fill(receiver)
    await page.getByRole('button', { name: 'Add', exact: true }).click()
    await page.getByRole('button', { name: `Remove ${receiver}` }).waitFor()
  }
  await page.getByRole('button', { name: /^Send it to / }).click()
}

/** Resolves when the card of a file has come to this. */
async function phase(page: Page, name: Name, wanted: string): Promise<void> {
  await page
    .getByRole('article', { name, exact: true })
    .and(page.locator(`[data-phase="${wanted}"]`))
    .waitFor()
}

async function shoot(scene: Scene, page: Page, name: string, { isWhole = true } = {}): Promise<void> {
  // Nothing is marked that a hand or a mouse would have marked.
  await page.mouse.move(0, 0)
  await page.evaluate('document.activeElement?.blur(); scrollTo(0, 0)')
  const path = join(engines[scene.engine].folder, `${name}.png`)
  await page.screenshot({ path, animations: 'disabled', fullPage: isWhole })
  process.stdout.write(`${path}\n`)
}

/** One file on its way, one stored, one delivered. */
async function sending(scene: Scene, dora: Page): Promise<void> {
  const { network } = scene
  await send(scene, dora, 'Quarterly report.pdf', ['bob'])
  await phase(dora, 'Quarterly report.pdf', 'ended')
  await send(scene, dora, 'Floor plan, second floor.dwg', ['erin'])
  await phase(dora, 'Floor plan, second floor.dwg', 'stored')
  network.rule = ({ method }) => (method === 'PUT' ? { bytesPerSecond: SLOW_BYTES_PER_SECOND } : null)
  await send(scene, dora, 'Interview, uncut.mov', ['bob'])
  await dora.getByText(/The portal has (24|32|40)\.0 MiB of 64\.0 MiB.*left/).waitFor()
  await shoot(scene, dora, scene.colorScheme === 'dark' ? 'sending-dark' : 'sending')
  network.rule = () => null
  await phase(dora, 'Interview, uncut.mov', 'ended')
}

async function make(scene: Scene): Promise<void> {
  const { world } = scene
  const dora = await scene.invited('dora', true)
  await dora.getByRole('button', { name: 'Join', exact: true }).waitFor()
  await shoot(scene, dora, 'joining')
  await joined(dora)
  const frank = await joined(await scene.invited('frank'))

  // Frank does not want what Dora sends him; that is in the history, and among the portal's problems.
  await send(scene, dora, 'Draft of Monday.docx', ['bob', 'frank'])
  await goTo(frank, 'Receive')
  const offered = frank.getByRole('article', { name: 'Draft of Monday.docx' })
  await offered.getByRole('button', { name: /^Decline…/ }).click()
  await offered.getByRole('textbox').fill('That is the one of Monday; please send the one of Friday.')
  await offered
    .getByRole('button', { name: /^Decline/ })
    .first()
    .click()
  await phase(dora, 'Draft of Monday.docx', 'ended')

  for (const name of ['Contract, signed.pdf', 'Site photos.zip'] as const) {
    await world.send(await scene.file(name), ['--no-wait'], { from: 'alice', to: ['dora'] })
  }
  await goTo(dora, 'Receive')
  await dora
    .getByRole('article', { name: 'Contract, signed.pdf' })
    .getByRole('button', { name: /^Accept/ })
    .click()
  await phase(dora, 'Contract, signed.pdf', 'received')
  await phase(dora, 'Site photos.zip', 'asking')
  await shoot(scene, dora, 'receiving')
  await dora.setViewportSize(PHONE)
  await shoot(scene, dora, 'receiving-phone', { isWhole: false })
  await dora.setViewportSize(WINDOW)

  await goTo(dora, 'Send')
  await dora
    .getByRole('article')
    .getByRole('button', { name: /^Clear/ })
    .click()
  await sending(scene, dora)

  await goTo(dora, 'History')
  await dora.getByRole('link', { name: /Draft of Monday\.docx/ }).waitFor()
  await shoot(scene, dora, 'history')
  await dora.getByRole('link', { name: /Draft of Monday\.docx/ }).click()
  await dora.getByRole('heading', { name: 'Timeline' }).waitFor()
  await dora.getByText('This browser verified the signature.').waitFor()
  await shoot(scene, dora, 'timeline')
  await goTo(dora, 'Portal')
  await dora.getByRole('heading', { name: /^Receivers online/ }).waitFor()
  await shoot(scene, dora, 'portal')
}

for (const engine of ['chromium', 'firefox'] as const) {
  await using light = await Scene.open(engine, 'light')
  await make(light)
  await using dark = await Scene.open(engine, 'dark')
  await sending(dark, await joined(await dark.invited('dora')))
}
