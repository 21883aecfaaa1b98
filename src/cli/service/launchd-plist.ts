/** The text of a launchd agent. launchd.plist(5) */
import type { ServedCommand, ServiceDefinition } from './definition.ts'

const PREFIX = 'dev.golooader.'
/** Pause before the next start. */
const THROTTLE_SEC = 10
/** Node and the program. */
const PROGRAM_WORDS = 2

/** The agent's label; its file has the same name. */
export const labelOf = (name: string): string => `${PREFIX}${name}`
export const plistOf = (name: string): string => `${labelOf(name)}.plist`

/** The service of a plist's file name; null for another agent. */
export function serviceOfPlist(file: string): string | null {
  return file.startsWith(PREFIX) && file.endsWith('.plist') ? file.slice(PREFIX.length, -'.plist'.length) : null
}

/** @param logPath the file for all output of the service */
export function plistText(service: ServiceDefinition, logPath: string): string {
  const { name, program, args, folder, env } = service
  const variables = Object.entries(env).map(([variable, value]) => `    ${key(variable)}\n    ${string(value)}`)
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Made by: golooader service install. It is replaced by the next one of that name. -->
<plist version="1.0">
<dict>
  ${key('Label')}
  ${string(labelOf(name))}
  ${key('ProgramArguments')}
  <array>
${[...program, ...args].map((word) => `    ${string(word)}`).join('\n')}
  </array>
  ${key('WorkingDirectory')}
  ${string(folder)}
  ${key('EnvironmentVariables')}
  <dict>
${variables.join('\n')}
  </dict>
  ${key('RunAtLoad')}
  <true/>
  ${key('KeepAlive')}
  <true/>
  ${key('ThrottleInterval')}
  <integer>${THROTTLE_SEC}</integer>
  ${key('ExitTimeOut')}
  <integer>15</integer>
  ${key('SoftResourceLimits')}
  <dict>
    ${key('NumberOfFiles')}
    <integer>65536</integer>
  </dict>
  ${key('StandardOutPath')}
  ${string(logPath)}
  ${key('StandardErrorPath')}
  ${string(logPath)}
</dict>
</plist>
`
}

/** What an agent runs. */
export function commandOfPlist(text: string): ServedCommand | null {
  const [, list] = /<key>ProgramArguments<\/key>\s*<array>([\s\S]*?)<\/array>/.exec(text) ?? []
  const [, folder] = /<key>WorkingDirectory<\/key>\s*<string>([\s\S]*?)<\/string>/.exec(text) ?? []
  if (list === undefined || folder === undefined) return null
  const words = [...list.matchAll(/<string>([\s\S]*?)<\/string>/g)].map(([, word = '']) => unescaped(word))
  return { program: words.slice(0, PROGRAM_WORDS), args: words.slice(PROGRAM_WORDS), folder: unescaped(folder) }
}

const ENTITIES: readonly (readonly [character: string, entity: string])[] = [
  ['&', '&amp;'],
  ['<', '&lt;'],
  ['>', '&gt;'],
]

const key = (text: string): string => `<key>${escaped(text)}</key>`
const string = (text: string): string => `<string>${escaped(text)}</string>`
const escaped = (text: string): string => ENTITIES.reduce((all, [from, to]) => all.replaceAll(from, to), text)
const unescaped = (text: string): string => ENTITIES.reduceRight((all, [from, to]) => all.replaceAll(to, from), text)
