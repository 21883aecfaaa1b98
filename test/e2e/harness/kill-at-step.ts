/** Kills a command right before one of its steps that change the file system: the moment does not depend on the speed of the machine. */
import type { World } from './world.ts'

const preload = new URL('./kill-at-step.js', import.meta.url).href

export interface CountedSteps {
  /** Kills it before this step; without it, nothing is killed. */
  readonly killAt?: number
  /** Where the number of all steps is written at the end. */
  readonly countIn?: string
  /** Steps count once a folder is made whose path ends so. */
  readonly after?: string
}

/** The environment for a command whose steps below the folder of the world count. */
export function countingSteps(world: World, { killAt, countIn, after }: CountedSteps): Record<string, string> {
  return {
    NODE_OPTIONS: `--import=${preload}`,
    TEST_STEPS_IN: world.folder,
    ...(killAt === undefined ? {} : { TEST_KILL_AT_STEP: String(killAt) }),
    ...(countIn === undefined ? {} : { TEST_STEPS: countIn }),
    ...(after === undefined ? {} : { TEST_STEPS_AFTER: after }),
  }
}
