/**
 * A user at the page in WebKitGTK: Debian's MiniBrowser, by its WebDriver (https://www.w3.org/TR/webdriver2/). It
 * supports few actions. The tests cover what this engine lacks.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { programPath, requireServer } from '../../servers/install.ts'
import { record } from '../../servers/run.ts'
import { freePort } from '../../servers/server-process.ts'
import { insideFunction } from './visitor.ts'

const LIBRARIES = '/usr/lib'
const WAIT_MS_MAX = 90_000
const LOOK_PAUSE_MS = 100
/** https://www.w3.org/TR/webdriver2/#elements */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf'

export class WebKitVisitor implements AsyncDisposable {
  readonly #driverUrl: string
  readonly #ending: AsyncDisposableStack
  #session = ''

  private constructor(driverUrl: string, ending: AsyncDisposableStack) {
    this.#driverUrl = driverUrl
    this.#ending = ending
  }

  static async open(): Promise<WebKitVisitor> {
    await requireServer('webkit')
    await using starting = new AsyncDisposableStack()
    const screen = started(programPath('Xvfb'), ['-displayfd', '1', '-nolisten', 'tcp'], {})
    starting.defer(() => ended(screen))
    const display = await new Promise<string>((resolve) =>
      screen.stdout?.once('data', (text) => resolve(`:${text}`.trim())),
    )
    const port = await freePort()
    const driver = started(programPath('WebKitWebDriver'), [`--port=${port}`], { DISPLAY: display })
    starting.defer(() => ended(driver))
    const visitor = new WebKitVisitor(`http://127.0.0.1:${port}`, starting.move())
    try {
      await visitor.#begin()
    } catch (error) {
      await visitor[Symbol.asyncDispose]()
      throw error
    }
    return visitor
  }

  async #begin(): Promise<void> {
    await waited(async () => {
      const status = await fetch(`${this.#driverUrl}/status`).catch(() => null)
      return status?.ok === true
    }, 'the driver listens')
    const options = { binary: miniBrowserPath(), args: ['--automation'] }
    const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': options } }
    const { sessionId } = await this.#ask<{ sessionId: string }>('POST', '/session', { capabilities })
    this.#session = `/session/${sessionId}`
    this.#ending.defer(async () => {
      await this.#ask('DELETE', this.#session)
    })
    await this.#ask('POST', `${this.#session}/timeouts`, { script: WAIT_MS_MAX })
  }

  async open(url: string): Promise<void> {
    await this.#ask('POST', `${this.#session}/url`, { url })
  }

  async reload(): Promise<void> {
    await this.#ask('POST', `${this.#session}/refresh`, {})
  }

  /** Resolves when the page contains the text. */
  async says(text: string | RegExp): Promise<void> {
    let shown = ''
    const isThere = async (): Promise<boolean> => {
      shown = await this.#run<string>('return document.body.innerText')
      return typeof text === 'string' ? shown.includes(text) : text.test(shown)
    }
    await waited(isThere, `the page says ${text}`).catch((cause) => {
      throw new Error(`the page never said ${text}, but: ${shown}`, { cause })
    })
  }

  /** Clicks a button or a link, by the beginning of its text. */
  async press(text: string): Promise<void> {
    const path = `//*[self::button or self::a][starts-with(normalize-space(.), ${JSON.stringify(text)})]`
    await this.#ask('POST', `${this.#session}/element/${await this.#find('xpath', path)}/click`, {})
  }

  /** Writes into an input; the path of a file into one for files. */
  async write(selector: string, text: string): Promise<void> {
    await this.#ask('POST', `${this.#session}/element/${await this.#find('css selector', selector)}/value`, { text })
  }

  /** Calls a function of `test/page/browser/inside.ts` inside the page. */
  async inside<Result>(name: string, arg: unknown = null): Promise<Result> {
    const call = `(${await insideFunction(name)})(arguments[0])`
    const script = `const done = arguments[1]; Promise.resolve(${call}).then(done, (error) => done(String(error)))`
    return this.#ask<Result>('POST', `${this.#session}/execute/async`, { script, args: [arg] })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#ending.disposeAsync()
  }

  #run<Result>(script: string): Promise<Result> {
    return this.#ask<Result>('POST', `${this.#session}/execute/sync`, { script, args: [] })
  }

  async #find(using: 'xpath' | 'css selector', value: string): Promise<string> {
    let found = ''
    await waited(async () => {
      const [element] = await this.#ask<Record<string, string>[]>('POST', `${this.#session}/elements`, { using, value })
      found = element?.[ELEMENT] ?? ''
      return found !== ''
    }, `there is ${value}`)
    return found
  }

  async #ask<Value>(method: string, path: string, body?: object): Promise<Value> {
    const answer = await fetch(this.#driverUrl + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const { value } = (await answer.json()) as { value: Value }
    if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(value)}`)
    return value
  }
}

/** The driver is outside of PATH, in a folder named after the machine and the library version. */
function miniBrowserPath(): string {
  const folders = readdirSync(LIBRARIES, { recursive: false, withFileTypes: true }).filter((one) => one.isDirectory())
  for (const { name } of folders) {
    const below = readdirSync(join(LIBRARIES, name)).filter((one) => one.startsWith('webkit2gtk-'))
    for (const library of below) {
      if (readdirSync(join(LIBRARIES, name, library)).includes('MiniBrowser')) {
        return join(LIBRARIES, name, library, 'MiniBrowser')
      }
    }
  }
  throw new Error(`there is no MiniBrowser below ${LIBRARIES}`)
}

function started(command: string, args: readonly string[], env: NodeJS.ProcessEnv): ChildProcess {
  // The sandbox is off, because a container has no namespaces for it.
  const all = { ...process.env, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', ...env }
  const child = spawn(command, args, { env: all, stdio: ['ignore', 'pipe', 'ignore'] })
  if (child.pid !== undefined) record(child.pid, 'SIGKILL')
  return child
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = new Promise((resolve) => child.once('exit', resolve))
  child.kill()
  await exited
}

async function waited(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`it never was so: ${what}`)
    await setTimeout(LOOK_PAUSE_MS)
  }
}
