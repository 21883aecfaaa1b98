/** The text of a launchd agent. launchd.plist(5) */
import type { ServiceDefinition } from './definition.ts'

const PREFIX = 'dev.golooader.'
/** Pause before the next start. */
const THROTTLE_SEC = 10

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

/** The command line that an agent runs: what follows Node and the program. */
export function argsOfPlist(text: string): string[] | null {
  const [, list] = /<key>ProgramArguments<\/key>\s*<array>([\s\S]*?)<\/array>/.exec(text) ?? []
  if (list === undefined) return null
  return [...list.matchAll(/<string>([\s\S]*?)<\/string>/g)].slice(2).map(([, word = '']) => unescaped(word))
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
