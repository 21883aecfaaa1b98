/** What a service of `golooader service` is, on any system. Drivers turn it into a systemd unit or a launchd plist. */
import { InvalidArgumentError } from 'commander'

/** What a service runs. */
export interface ServedCommand {
  /** Node and the program, as absolute paths. */
  readonly program: readonly string[]
  /** The command and its arguments, as the person typed them. */
  readonly args: readonly string[]
  /** The folder in which it was installed: relative paths in `args` stay what they were. */
  readonly folder: string
}

export interface ServiceDefinition extends ServedCommand {
  readonly name: string
  /** Settings and addresses of the shell that installed it. They may be secrets. */
  readonly env: Readonly<Record<string, string>>
  /** It starts commands of the person, which need what that person may do, so it is not confined. */
  readonly runsCommands: boolean
}

const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** For `argParser`: the name of a service, which becomes part of a file name on every system. */
export function serviceName(text: string): string {
  if (!NAME.test(text)) throw new InvalidArgumentError('Give a name of lower-case letters, digits and . _ -')
  return text
}

/**
 * What a service keeps of the environment in which it was installed: the settings of its command (and not what a command gets that this
 * program runs), where profiles lie, the search path
 * for commands that it runs, proxies and certificates, and what the drivers of a portal read.
 */
const KEPT =
  /^(?:GOLOOADER_(?!EXEC_(?!BEFORE_ANSWER$|TIMEOUT$)).*|XDG_(?:CONFIG|STATE|CACHE)_HOME|PATH|LANG|LC_ALL|TZ|NODE_EXTRA_CA_CERTS|NODE_USE_ENV_PROXY|SSL_CERT_(?:FILE|DIR)|(?:HTTPS?|NO|ALL)_PROXY|(?:https?|no|all)_proxy)$/
const KEPT_OF_PORTAL = /^(?:PG[A-Z]+|AWS_\w+)$/

/** @param left names that are left out */
export function keptEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  command: string,
  left: readonly string[] = [],
): Record<string, string> {
  const isKept = (name: string): boolean =>
    !left.includes(name) && (KEPT.test(name) || (command === 'portal' && KEPT_OF_PORTAL.test(name)))
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value && isKept(name) ? [[name, value]] : [])),
  )
}

/** A command line for people, in words that a shell would take. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}
