/** The passphrase of a link or of an exported profile: from a file, from GOLOOADER_PASSPHRASE, or asked for on the terminal, which does not show it. */
import { openSync, readFileSync } from 'node:fs'
import { ReadStream } from 'node:tty'
import { Option } from 'commander'
import { InterruptedError, UsageError } from './exit.ts'
import { option, pathOf } from './options.ts'
import { sayError, sayPrompt } from './output.ts'
import { fileReason } from './system-errors.ts'

export interface PassphraseFlags {
  readonly passphrase?: boolean
  readonly passphraseFile?: string
}

const VARIABLE = 'GOLOOADER_PASSPHRASE'
const LENGTH_MAX = 1_024
const [INTERRUPT, END, BACKSPACE, DELETE] = ['\x03', '\x04', '\x08', '\x7f']

/** Its variable has the passphrase itself, and so says yes to the option, too. */
export function passphraseOption(description: string): Option {
  const isSet = (process.env[VARIABLE] ?? '') !== ''
  const made = new Option('--passphrase', isSet ? description : `${description} (env: ${VARIABLE})`)
  return isSet ? made.env(VARIABLE) : made
}

export const passphraseFileOption = (): Option =>
  option('--passphrase-file <file>', 'a file with the passphrase, instead of asking for it').argParser(pathOf)

interface Asked {
  readonly isNew: boolean
  /** What it is the passphrase of. */
  readonly of?: string
}

/**
 * @param asked `isNew`: whether it is asked for twice
 * @returns null when none of the options is given
 * @throws UsageError when it cannot be read, or is empty; InterruptedError
 */
export async function passphraseOf(
  { passphrase = false, passphraseFile }: PassphraseFlags,
  asked: Asked,
): Promise<string | null> {
  if (passphraseFile !== undefined) return required(readFile(passphraseFile))
  if (!passphrase) return null
  const given = process.env[VARIABLE] ?? ''
  return given === '' ? askPassphrase(asked) : required(given)
}

/** The same where one is needed: without an option it is asked for. @throws like `passphraseOf` */
export async function requirePassphrase(flags: PassphraseFlags, asked: Asked): Promise<string> {
  return (await passphraseOf(flags, asked)) ?? askPassphrase(asked)
}

async function askPassphrase({ isNew, of = 'the link' }: Asked): Promise<string> {
  using terminal = openTerminal()
  const asked = required(await terminal.ask(`passphrase of ${of}: `))
  if (isNew && (await terminal.ask('the same again: ')) !== asked) {
    throw new UsageError('the two passphrases differ. Run the command again')
  }
  return asked
}

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8').replace(/\r?\n$/, '')
  } catch (cause) {
    throw new UsageError(`the passphrase cannot be read: ${fileReason(path, cause)}`, { cause })
  }
}

function required(text: string): string {
  if (text === '') throw new UsageError('the passphrase is empty')
  if (text.length > LENGTH_MAX) throw new UsageError(`a passphrase has ${LENGTH_MAX} characters at most`)
  return text
}

/** The terminal itself, because standard input may be what is sent. */
function openTerminal(): Terminal {
  try {
    return new Terminal(process.stdin.isTTY ? process.stdin : new ReadStream(openSync('/dev/tty', 'r')))
  } catch (cause) {
    const ways = `--passphrase-file FILE, or the variable ${VARIABLE}`
    throw new UsageError(`there is no terminal to ask for the passphrase: give it by ${ways}`, { cause })
  }
}

class Terminal implements Disposable {
  readonly #input: ReadStream
  /** Typed ahead. */
  #typed = ''

  constructor(input: ReadStream) {
    this.#input = input
    input.setEncoding('utf8')
    input.setRawMode(true)
  }

  async ask(question: string): Promise<string> {
    sayPrompt(question)
    let text = ''
    for (;;) {
      for (const letter of this.#typed) {
        this.#typed = this.#typed.slice(letter.length)
        if (letter === INTERRUPT || letter === END) {
          sayError('')
          throw new InterruptedError('the keyboard')
        }
        if (letter === '\r' || letter === '\n') {
          sayError('')
          return text
        }
        if (letter === BACKSPACE || letter === DELETE) text = [...text].slice(0, -1).join('')
        else text += letter
      }
      this.#typed = await this.#read()
    }
  }

  #read(): Promise<string> {
    return new Promise((resolve) => {
      this.#input.once('data', (data) => {
        this.#input.pause()
        resolve(String(data))
      })
      this.#input.resume()
    })
  }

  [Symbol.dispose](): void {
    this.#input.setRawMode(false)
    this.#input.pause()
    if (this.#input !== process.stdin) this.#input.destroy()
  }
}
