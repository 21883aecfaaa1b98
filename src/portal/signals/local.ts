/** Signals within one process. None is ever lost. */
import { EventEmitter } from 'node:events'
import type { Signals } from './contract.ts'

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
