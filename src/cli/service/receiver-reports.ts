/** The status line of a receiver that runs as a service. */
import type { ReceiveEvent } from '../../receiver/index.ts'
import { localTime } from '../text.ts'
import { commandsFailedText, type ServiceReports } from './reports.ts'
import type { Supervisor } from './supervisor.ts'

/** Counts and times, no names: every user of a machine may be allowed to see the status of its services. */
export function receiverReports(supervisor: Supervisor, portal: string): ServiceReports<ReceiveEvent> {
  let [received, refused, commandsFailed] = [0, 0, 0]
  let lastAt = ''
  let isConnected = false
  let obstacle: string | null = `waits for the first answer of ${portal}`
  const tell = (): void => {
    const last = lastAt === '' ? '' : `, the last one at ${lastAt}`
    const more = refused === 0 ? '' : `, ${refused} refused`
    supervisor.status(
      `${obstacle ?? `connected to ${portal}`}: ${received} received${last}${more}${commandsFailedText(commandsFailed)}`,
    )
  }
  tell()
  const onEvent = (event: ReceiveEvent): void => {
    switch (event.type) {
      case 'connected':
        obstacle = null
        if (!isConnected) supervisor.ready()
        isConnected = true
        break
      case 'disconnected':
        obstacle = `${portal} does not answer (${event.reason}), trying again`
        break
      case 'waiting':
        obstacle = `files wait at the portal: ${event.reason}`
        break
      case 'received':
        received++
        obstacle = null
        lastAt = localTime(new Date().toISOString())
        break
      case 'refused':
        refused++
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
