/**
 * `npm run screenshots`: makes the pictures of the page that README.md shows. Everything in them is real: a portal, senders and
 * receivers of the command line, and a Chromium in which people send and receive; so the pictures stay true.
 */
import { randomFillSync } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Browser, chromium, type Page } from 'playwright-core'
import { BenchWorld } from '../../bench/world.ts'
import { invite, openLedger } from '../../src/portal/index.ts'
import { FaultyNetwork } from '../../test/e2e/harness/proxy.ts'

/** What the portal is called in the pictures. The browser is told that it is here, and that it need not be reached by TLS. */
const HOST = 'files.example'
/** Less high than what is shown: a picture is as high as it has to be. */
const WINDOW = { width: 1000, height: 400 }
const PHONE = { width: 390, height: 700 }
const MIB = 1024 * 1024
const INVITE_MS = 60_000
const WAIT_MS = 60_000
const SLOW_BYTES_PER_SECOND = 5 * MIB
const programs = ['/usr/bin/chromium', '/usr/bin/google-chrome', '/usr/bin/chromium-browser']

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

  private constructor(world: BenchWorld, network: FaultyNetwork, browser: Browser) {
    this.world = world
    this.network = network
    this.browser = browser
  }

  /** Alice, who sends; Bob, who receives; Erin, who is away. */
  static async open(): Promise<Scene> {
    const world = await BenchWorld.start({ senders: ['alice', 'erin'], receivers: ['bob'] })
    const network = await FaultyNetwork.open(() => world.portal.url)
    const executablePath = programs.find((path) => existsSync(path))
    if (executablePath === undefined) throw new Error(`there is none of ${programs.join(', ')}`)
    const here = new URL(network.url).host
    const args = [
      `--host-resolver-rules=MAP ${HOST}:80 ${here}`,
      `--unsafely-treat-insecure-origin-as-secure=http://${HOST}`,
    ]
    return new Scene(world, network, await chromium.launch({ executablePath, args, chromiumSandbox: false }))
  }

  async link(name: string, isOperator = false): Promise<string> {
    const ledger = await openLedger({ dataFolder: join(this.world.folder, 'portal') })
    const secret = await invite(ledger, name, INVITE_MS, { isOperator })
    await ledger.close()
    return `http://${HOST}/join#${secret}`
  }

  /** A page that has been opened with an invite. */
  async invited(name: string, isOperator = false): Promise<Page> {
    const context = await this.browser.newContext({ viewport: WINDOW, locale: 'en-GB', colorScheme: 'light' })
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
    await page.getByRole('button', { name: `Not to ${receiver}` }).waitFor()
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

async function shoot(page: Page, name: string, { isWhole = true } = {}): Promise<void> {
  // Nothing is marked that a hand or a mouse would have marked.
  await page.mouse.move(0, 0)
  await page.evaluate('document.activeElement?.blur(); scrollTo(0, 0)')
  const path = join(import.meta.dirname, `${name}.png`)
  await page.screenshot({ path, animations: 'disabled', fullPage: isWhole })
  process.stdout.write(`${path}\n`)
}

async function make(scene: Scene): Promise<void> {
  const { world, network } = scene
  const dora = await scene.invited('dora', true)
  await dora.getByRole('button', { name: 'Join', exact: true }).waitFor()
  await shoot(dora, 'joining')
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
  await shoot(dora, 'receiving')
  await dora.setViewportSize(PHONE)
  await shoot(dora, 'receiving-phone', { isWhole: false })
  await dora.setViewportSize(WINDOW)

  await goTo(dora, 'Send')
  await dora
    .getByRole('article')
    .getByRole('button', { name: /^Clear/ })
    .click()
  await send(scene, dora, 'Quarterly report.pdf', ['bob'])
  await phase(dora, 'Quarterly report.pdf', 'ended')
  await send(scene, dora, 'Floor plan, second floor.dwg', ['erin'])
  await phase(dora, 'Floor plan, second floor.dwg', 'stored')
  network.rule = ({ method }) => (method === 'PUT' ? { bytesPerSecond: SLOW_BYTES_PER_SECOND } : null)
  await send(scene, dora, 'Interview, uncut.mov', ['bob'])
  await dora.getByText(/The portal has (24|32|40)\.0 MiB of 64\.0 MiB.*left/).waitFor()
  await shoot(dora, 'sending')
  await dora.emulateMedia({ colorScheme: 'dark' })
  await shoot(dora, 'sending-dark')
  await dora.emulateMedia({ colorScheme: 'light' })
  network.rule = () => null
  await phase(dora, 'Interview, uncut.mov', 'ended')

  await goTo(dora, 'History')
  await dora.getByRole('link', { name: /Draft of Monday\.docx/ }).waitFor()
  await shoot(dora, 'history')
  await dora.getByRole('link', { name: /Draft of Monday\.docx/ }).click()
  await dora.getByRole('heading', { name: 'Timeline' }).waitFor()
  await dora.getByText('The signature was verified here.').waitFor()
  await shoot(dora, 'timeline')
  await goTo(dora, 'Portal')
  await dora.getByRole('heading', { name: /^Receivers online/ }).waitFor()
  await shoot(dora, 'portal')
}

await using scene = await Scene.open()
await make(scene)
