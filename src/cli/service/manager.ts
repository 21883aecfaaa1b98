/** The service manager of this system. */
import type { ServedCommand, ServiceDefinition } from './definition.ts'

export type ServiceState = 'running' | 'starting' | 'stopped' | 'failing' | 'unknown'

/** A service that is installed. */
export interface InstalledService extends ServedCommand {
  readonly name: string
  /** Its file for the service manager. */
  readonly path: string
}

/** How a service is, now. */
export interface ServiceStatus {
  readonly state: ServiceState
  /** What the service says about itself; '' where the manager does not keep it. */
  readonly says: string
  /** Starts after the first one, since a person last started it; null where the manager does not count them. */
  readonly restarts: number | null
  /** RFC 3339; null where the manager does not know. */
  readonly since: string | null
  readonly pid: number | null
}

export interface ServiceManager {
  /** The text of the file that {@link install} writes. */
  textOf(service: ServiceDefinition): string
  /** Writes the file, and starts the service now and at each login. A service of the same name is replaced. */
  install(service: ServiceDefinition): Promise<void>
  /** In the order of their names. */
  list(): Promise<InstalledService[]>
  status(name: string): Promise<ServiceStatus>
  /** These return as soon as the manager knows; {@link status} says what came of it. */
  start(name: string): Promise<void>
  stop(name: string): Promise<void>
  restart(name: string): Promise<void>
  /** Stops the service and deletes its file. */
  remove(name: string): Promise<void>
  /** The command that prints the log. */
  logCommand(name: string, options: { readonly isFollowing: boolean; readonly lines: number }): readonly string[]
  /** What the person should know about this system: for instance, that services end with the session. */
  advice(): Promise<string | null>
}

/** @throws UsageError where no service manager is known */
export async function serviceManager(): Promise<ServiceManager> {
  if (process.platform === 'darwin') return (await import('./launchd.ts')).launchd()
  return (await import('./systemd.ts')).systemd()
}
