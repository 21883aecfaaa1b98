/** The clock of one machine, as its processes see it. A test can change it while they run. */
import { renameSync, writeFileSync } from 'node:fs'
import type { World } from './world.ts'

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

const preload = new URL('./set-date.js', import.meta.url)

export class MachineClock {
  readonly #path: string

  constructor(world: World, name: string, aheadMs = 0) {
    this.#path = world.path(`clock-${name}`)
    this.set(aheadMs)
  }

  /** How far it is ahead of the right time; negative when it is behind. */
  set(aheadMs: number): void {
    writeFileSync(`${this.#path}.new`, String(aheadMs))
    renameSync(`${this.#path}.new`, this.#path)
  }

  /** The environment for a process of this machine. */
  get env(): { NODE_OPTIONS: string; TEST_CLOCK: string } {
    return { NODE_OPTIONS: `--import=${preload.href}`, TEST_CLOCK: this.#path }
  }
}
