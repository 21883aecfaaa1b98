import type { Socket } from 'node:net'
import { timerMs } from '../protocol/index.ts'

/** Destroys a socket that is not connected within this time, TLS included. */
export function limitConnecting(socket: Socket, protocol: string, connectMs: number): void {
  const late = new Error(`no connection within ${connectMs} ms`)
  const timer = setTimeout(() => socket.destroy(late), timerMs(connectMs))
  const end = (): void => clearTimeout(timer)
  socket.once(protocol === 'https:' ? 'secureConnect' : 'connect', end)
  socket.once('close', end)
}
