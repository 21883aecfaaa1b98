/** The promises of every signals driver to its subscribers in the same process. */
import { expect, test } from 'vitest'
import type { Signals } from '../../src/portal/signals/index.ts'

const noGap = (): void => {}

export function testSignals(name: string, open: () => Promise<Signals>): void {
  test(`${name}: every subscriber, and no other, has received a signal when publishing it returns`, async () => {
    const signals = await open()
    const heard: string[] = []
    const endFirst = signals.subscribe('a', (payload) => heard.push(`first ${payload}`), noGap)
    signals.subscribe('a', (payload) => heard.push(`second ${payload}`), noGap)
    signals.subscribe('b', (payload) => heard.push(`other ${payload}`), noGap)
    signals.publish('a', '1')
    expect(heard).toEqual(['first 1', 'second 1'])
    endFirst()
    endFirst()
    signals.publish('a')
    signals.publish('c', 'to nobody')
    expect(heard).toEqual(['first 1', 'second 1', 'second '])
  })

  test(`${name}: subscribing or leaving during a signal does not affect others`, async () => {
    const signals = await open()
    const heard: string[] = []
    const end = signals.subscribe(
      'a',
      () => {
        heard.push('first')
        end()
        signals.subscribe('a', () => heard.push('late'), noGap)
      },
      noGap,
    )
    signals.subscribe('a', () => heard.push('second'), noGap)
    signals.publish('a')
    expect(heard).toEqual(['first', 'second'])
    signals.publish('a')
    expect(heard).toEqual(['first', 'second', 'second', 'late'])
  })
}
