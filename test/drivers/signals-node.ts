/** A node with signals only: it publishes signals for its parent process, and reports received ones to it. */
import pino from 'pino'
import { postgresSignals } from '../../src/portal/signals/postgres.ts'

export type NodeCommand =
  | { readonly subscribe: string }
  | { readonly publish: readonly (readonly [topic: string, payload: string])[] }
  | { readonly flood: number }

export type NodeReport =
  | { readonly topic: string; readonly payload: string; readonly atMs: number }
  | { readonly gap: string }
  | { readonly published: number; readonly grownBytes: number }

const [, , url = '', unreadMsMax] = process.argv
const limit = unreadMsMax === undefined ? {} : { unreadMsMax: Number(unreadMsMax) }
const signals = await postgresSignals({ url, ...limit, log: pino({ level: 'warn' }, pino.destination(2)) })
const report = (what: NodeReport): void => {
  process.send?.(what)
}

process.on('message', (command: NodeCommand) => {
  if ('subscribe' in command) {
    const topic = command.subscribe
    signals.subscribe(
      topic,
      (payload) => report({ topic, payload, atMs: performance.timeOrigin + performance.now() }),
      () => report({ gap: topic }),
    )
  } else if ('publish' in command) {
    for (const [topic, payload] of command.publish) signals.publish(topic, payload)
    report({ published: command.publish.length, grownBytes: 0 })
  } else {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    for (let count = 0; count < command.flood; count++) signals.publish(`flood:${count}`, 'x'.repeat(100) + count)
    globalThis.gc?.()
    report({ published: command.flood, grownBytes: process.memoryUsage().heapUsed - before })
  }
})
process.once('disconnect', () => signals[Symbol.asyncDispose]().then(() => process.exit()))
