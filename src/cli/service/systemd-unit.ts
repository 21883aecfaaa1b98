/** The text of a systemd user unit. systemd.service(5), systemd.exec(5), systemd.syntax(7) */
import { type ServedCommand, type ServiceDefinition, shellWords } from './definition.ts'

const PREFIX = 'golooader-'
/** Longer than any pause of a healthy process: a disk that stalls does not stop the event loop. */
const WATCHDOG_SEC = 120

/** The unit's file name. */
export const unitOf = (name: string): string => `${PREFIX}${name}.service`

/** The service of a unit's file name; null for another unit. */
export function serviceOf(unit: string): string | null {
  return unit.startsWith(PREFIX) && unit.endsWith('.service') ? unit.slice(PREFIX.length, -'.service'.length) : null
}

/**
 * A user's manager may not make name spaces on every system, and a folder that is mounted into one would stay the old folder after its
 * disk was mounted again. So these are the settings that need no name space: filters of system calls, and no new privileges.
 */
const CONFINEMENT = `
# Without a name space, so that it starts under every user's manager.
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
# V8 compiles while it runs: this would end it at its start.
MemoryDenyWriteExecute=no
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
`

const UNCONFINED = `
# It runs commands of yours, which may need what you may do (sudo, mail, containers). So nothing is taken from it.
`

/** The slash at the end of the folder keeps a blank or a backslash before it, which systemd would take off, or take for a line that continues. */
export function unitText(service: ServiceDefinition): string {
  const { name, program, args, folder, env, runsCommands } = service
  const settings = Object.entries(env).map(([variable, value]) => `Environment=${quoted(`${variable}=${value}`)}`)
  return `# Made by: golooader service install. It is replaced by the next one of that name.
${COMMAND_LINE}${JSON.stringify({ args, folder, program })}

[Unit]
Description=GoLooader ${name}: ${specifiers(oneLine(shellWords(args)))}
# It is tried again until it runs: nothing that fails here is better left alone. Its disk may come later, and so may its portal.
StartLimitIntervalSec=0

[Service]
# It is ready once the portal listens, or the portal has answered. Until then it waits, and says for what.
Type=notify
# Node has no datagram sockets of that kind, so that systemd-notify speaks for it.
NotifyAccess=all
TimeoutStartSec=infinity
WatchdogSec=${WATCHDOG_SEC}s
# It may end at any moment, so a hang needs no time to clean up, and no core with keys in it.
WatchdogSignal=SIGKILL
WorkingDirectory=${specifiers(folder)}/
${settings.join('\n')}
ExecStart=:${[...program, ...args].map(quoted).join(' ')}
ExecReload=/bin/kill -HUP $MAINPID
Restart=always
# Slower and slower, where the manager knows how (systemd 254).
RestartSec=10s
RestartSteps=6
RestartMaxDelaySec=5min
TimeoutStopSec=15s
# Only this process gets the signal to stop: a command that it runs may end what it does.
KillMode=mixed
LimitNOFILE=65536:524288
SyslogIdentifier=golooader-${name}
${runsCommands ? UNCONFINED : CONFINEMENT}
[Install]
WantedBy=default.target
`
}

const COMMAND_LINE = '# golooader '

/** What a unit runs; null when the unit is not one of {@link unitText}. */
export function commandOfUnit(text: string): ServedCommand | null {
  const line = text.split('\n').find((one) => one.startsWith(`${COMMAND_LINE}{`))
  return line === undefined ? null : JSON.parse(line.slice(COMMAND_LINE.length))
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ')

/** `%` begins a specifier. */
const specifiers = (text: string): string => text.replaceAll('%', '%%')

/** A word with everything in it that systemd would interpret. `ExecStart=:` leaves `$` alone. */
function quoted(word: string): string {
  const escaped = specifiers(word).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
  return `"${escaped}"`
}
