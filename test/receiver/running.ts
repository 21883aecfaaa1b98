/** Receivers that run for a test. */
import { onTestFinished, vi } from 'vitest'
import type { ReceiveEvent } from '../../src/receiver/index.ts'
import { type ReceiveFolderOptions, receive } from '../../src/receiver/node-receive.ts'
import type { ScriptedPortal } from './scripted-portal.ts'

/** Resolves when a check passes. Waits long enough for a busy machine. */
export function eventually<Result>(check: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(check, { timeout: 90_000, interval: 5 })
}

/** A receiver that runs until the test ends, or stops it. */
export function running(
  portal: Pick<ScriptedPortal, 'client'>,
  folder: string,
  options: Partial<ReceiveFolderOptions> = {},
) {
  const stopping = new AbortController()
  const events: ReceiveEvent[] = []
  const result = receive({
    client: portal.client(),
    folder,
    mayCreate: true,
    trust: null,
    from: null,
    isOnce: false,
    signal: stopping.signal,
    onEvent: (event) => events.push(event),
    idleMs: 2_000,
    ...options,
  })
  const stop = () => {
    stopping.abort()
    return result
  }
  onTestFinished(async () => {
    await stop().catch(() => {})
  })
  const seen = <Type extends ReceiveEvent['type']>(type: Type) =>
    vi.waitFor(
      () => {
        const event = events.find((one): one is Extract<ReceiveEvent, { type: Type }> => one.type === type)
        if (event === undefined) throw new Error(`no "${type}" among ${events.map((one) => one.type).join(', ')}`)
        return event
      },
      { timeout: 90_000, interval: 5 },
    )
  return { events, seen, result, stop }
}

/** Receives one file, to its answer. */
export async function receiveOnce(portal: Pick<ScriptedPortal, 'client'>, folder: string) {
  const receiver = running(portal, folder, { isOnce: true })
  return { ...receiver, counts: await receiver.result }
}
