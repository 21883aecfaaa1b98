/** What a command that runs as a service tells the service manager about itself. */
export interface Supervisor {
  /** The service does its work. */
  ready(): void
  /** One line about what it does. */
  status(text: string): void
}

const NOBODY: Supervisor = { ready: () => {}, status: () => {} }

/**
 * The supervisor of this process: systemd, where it has started this process and listens (`Type=notify`). Commands that this process
 * runs do not inherit it.
 */
export async function supervisor(): Promise<Supervisor> {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: pid } = process.env
  if (!socket) return NOBODY
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete process.env[name]
  const isWatched = usec !== undefined && (pid === undefined || Number(pid) === process.pid)
  const { SystemdNotifier } = await import('./sd-notify.ts')
  return new SystemdNotifier(socket, isWatched ? Number(usec) / 1000 : null)
}
