/** What the user has chosen to send, however it was chosen. */
import { type ReadonlySignal, useSignal } from '@preact/signals'
import type { ProblemJson } from '../../protocol/index.ts'
import { problemOf } from '../model/problem-of.ts'
import type { Picked } from '../platform/picked-folder.ts'

export interface Selection {
  readonly chosen: { value: readonly Picked[] }
  /** Why something that the user dropped or chose cannot be sent. */
  readonly unreadable: ReadonlySignal<ProblemJson | null>
  /** Whether something is being read: a large folder takes a while. */
  readonly isReading: boolean
  add(picking: Promise<readonly Picked[]>): void
}

export function useSelection(): Selection {
  const chosen = useSignal<readonly Picked[]>([])
  const unreadable = useSignal<ProblemJson | null>(null)
  const readingCount = useSignal(0)
  const add = async (picking: Promise<readonly Picked[]>): Promise<void> => {
    unreadable.value = null
    readingCount.value++
    try {
      const picked = await picking
      chosen.value = [...chosen.value, ...picked]
    } catch (error) {
      unreadable.value = problemOf(error)
    } finally {
      readingCount.value--
    }
  }
  return { chosen, unreadable, isReading: readingCount.value > 0, add: (picking) => void add(picking) }
}
