/** Whether this device is offline. The browser knows it before a connection times out. */
import { signal } from '@preact/signals'

export const isOffline = signal(!navigator.onLine)

const look = (): void => {
  isOffline.value = !navigator.onLine
}
addEventListener('online', look)
addEventListener('offline', look)
