/** Wake-ups: the contract, the signals of one process, and how to wait for them. Signals between processes are loaded only on demand. */
import { EventEmitter } from 'node:events'
import type { Signals } from './contract.ts'

export * from './contract.ts'
export { Waiter, type WokenBy } from './waiter.ts'

/** Signals within one process. None gets lost. */
export function localSignals(): Signals {
  const emitter = new EventEmitter()
  emitter.setMaxListeners(0)
  return {
    traits: { lossy: false },
    publish: (topic, payload = '') => {
      emitter.emit(topic, payload)
    },
    subscribe(topic, onSignal) {
      emitter.on(topic, onSignal)
      return () => {
        emitter.off(topic, onSignal)
      }
    },
  }
}
