/** The status line of a drop folder that is watched by a service. */
import type { WatchEvent } from '../../outbox/events.ts'
import { commandsFailedText, type ServiceReports } from './reports.ts'
import type { Supervisor } from './supervisor.ts'

/** Counts and no names, as for a receiver. It is ready once the folder belongs to it: files are taken while the portal is away, too. */
export function watchReports(supervisor: Supervisor, portal: string): ServiceReports<WatchEvent> {
  let [delivered, failed, commandsFailed] = [0, 0, 0]
  const underWay = new Set<string>()
  let obstacle: string | null = `waits for the first answer of ${portal}`
  /** What the folder or a disk lacks. The next file that gets to its place shows that it is there again. */
  let lack: string | null = null
  const tell = (): void => {
    const more = failed === 0 ? '' : `, ${failed} failed`
    supervisor.status(
      `${lack ?? obstacle ?? `connected to ${portal}`}: ${delivered} delivered, ${underWay.size} on the way${more}${commandsFailedText(commandsFailed)}`,
    )
  }
  const onEvent = (event: WatchEvent): void => {
    switch (event.type) {
      case 'watching':
        supervisor.ready()
        break
      case 'connected':
        obstacle = null
        break
      case 'silence':
        obstacle = `${portal} does not answer (${event.reason}), trying again`
        break
      case 'waiting':
        lack = `waits: ${event.reason}`
        break
      case 'started':
        obstacle = null
        underWay.add(event.transferId)
        break
      case 'vanished':
      case 'changed':
        if (event.transferId !== null) underWay.delete(event.transferId)
        break
      case 'ended':
        obstacle = null
        lack = null
        if (event.transferId !== null) underWay.delete(event.transferId)
        if (event.outcome === 'delivered') delivered++
        else failed++
        break
      default:
        return
    }
    tell()
  }
  const onCommandFailed = (): void => {
    commandsFailed++
    tell()
  }
  return { onEvent, onCommandFailed }
}
