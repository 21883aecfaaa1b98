/**
 * Chromium as its user has it, driven over its DevTools protocol by evaluating expressions only. Playwright switches the network domain
 * on, and Chromium then copies every request and answer for it: the page takes several times the processor time.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { end } from './processes.ts'

const TRIES_MAX = 600
const PAUSE_MS = 50

interface Target {
  readonly type: string
  readonly url: string
  readonly webSocketDebuggerUrl: string
}

interface Answer {
  readonly id: number
  readonly error?: { readonly message: string }
  readonly result?: {
    readonly result?: { readonly value?: unknown; readonly objectId?: string }
    readonly exceptionDetails?: unknown
  }
}

/** One page of a browser with a profile of its own. */
export class BareBrowser implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #count = 0

  private constructor(child: ChildProcess, socket: WebSocket) {
    this.#child = child
    this.#socket = socket
    socket.onmessage = ({ data }) => {
      const answer: Answer = JSON.parse(String(data))
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    }
  }

  /** @param profile a new folder. A browser without one keeps received files in memory, and hands their bytes to another process */
  static async open(executable: string, profile: string, url: string): Promise<BareBrowser> {
    const flags = ['--headless=new', '--no-sandbox', '--no-first-run', '--remote-debugging-port=0']
    const child = spawn(executable, [...flags, `--user-data-dir=${profile}`, url], { stdio: 'ignore' })
    const socket = await until('the page', async () => {
      const [port] = (await readFile(join(profile, 'DevToolsActivePort'), 'utf8').catch(() => '')).split('\n')
      if (port === undefined || port === '') return null
      const targets = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()) as Target[]
      const page = targets.find((one) => one.type === 'page' && one.url.startsWith('http'))
      return page === undefined ? null : new WebSocket(page.webSocketDebuggerUrl)
    })
    await new Promise((resolve, reject) => {
      socket.onopen = resolve
      socket.onerror = reject
    })
    return new BareBrowser(child, socket)
  }

  /** Clicks what a person would click by its text, once it is there. */
  async click(text: RegExp): Promise<void> {
    await this.#act(
      String(text),
      `const one = [...document.querySelectorAll('button:not(:disabled), a, label')]
         .find(({ textContent, ariaLabel }) => ${text}.test((ariaLabel ?? textContent).trim()));
       one?.click(); return one !== undefined`,
    )
  }

  /** Types into the field of a label. */
  async fill(label: string, text: string): Promise<void> {
    await this.#act(
      label,
      `const field = [...document.querySelectorAll('label')].find(({ firstChild }) => firstChild?.textContent.trim() === ${JSON.stringify(label)})?.control
         ?? document.querySelector('input[aria-label=${JSON.stringify(label)}]');
       if (!field) return false;
       field.value = ${JSON.stringify(text)};
       field.dispatchEvent(new Event('input', { bubbles: true })); return true`,
    )
  }

  /** Chooses a file in the input of a selector. */
  async choose(selector: string, path: string): Promise<void> {
    const objectId = await until(selector, async () => {
      const { result } = await this.#ask('Runtime.evaluate', {
        expression: `document.querySelector(${JSON.stringify(selector)})`,
      })
      return result?.result?.objectId ?? null
    })
    await this.#ask('DOM.setFileInputFiles', { objectId, files: [path] })
  }

  /** Waits for a text, looking by events of the page and not by a clock. */
  async waitFor(text: RegExp): Promise<void> {
    await this.#act(String(text), `return ${text}.test(document.body.innerText)`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close()
    await end(this.#child)
  }

  /** Runs a function of the page until it returns true: now, or after a change of the document. */
  async #act(what: string, body: string): Promise<void> {
    const expression = `new Promise((resolve) => {
      const act = () => { ${body} };
      if (act()) return resolve(true);
      const observer = new MutationObserver(() => { if (act()) { observer.disconnect(); resolve(true) } });
      observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    })`
    const parameters = { expression, awaitPromise: true, returnByValue: true, userGesture: true }
    const { result, error } = await until(what, async () => {
      const answer = await this.#ask('Runtime.evaluate', parameters)
      // The document is only about to come.
      return /context|navigated/.test(answer.error?.message ?? '') ? null : answer
    })
    if (error !== undefined || result?.result?.value !== true) {
      throw new Error(`${what} failed: ${JSON.stringify(result?.exceptionDetails ?? error)}`)
    }
  }

  #ask(method: string, parameters: object): Promise<Answer> {
    const id = ++this.#count
    this.#socket.send(JSON.stringify({ id, method, params: parameters }))
    return new Promise((resolve) => this.#waiting.set(id, resolve))
  }
}

async function until<Result>(what: string, look: () => Promise<Result | null>): Promise<Result> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const result = await look()
    if (result !== null) return result
    await setTimeout(PAUSE_MS)
  }
  throw new Error(`${what} does not come`)
}
