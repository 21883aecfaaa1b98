/** Events of the whole page. */
import { type ReadonlySignal, useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import type { Outgoing } from '../model/types.ts'
import type { Picked } from '../platform/picked-folder.ts'
import { pickedOfDrop } from '../platform/picking.ts'

/** Asks the user before they close a tab that is sending. */
export function useLeaveWarning(files: ReadonlySignal<readonly Outgoing[]> | null): void {
  useEffect(() => {
    const warn = (event: BeforeUnloadEvent): void => {
      const moving = ['queued', 'reading', 'sending', 'silent']
      if (files?.value.some(({ progress }) => moving.includes(progress.value.phase)) === true) event.preventDefault()
    }
    addEventListener('beforeunload', warn)
    return () => removeEventListener('beforeunload', warn)
  }, [files])
}

/**
 * Accepts files and folders that are dropped anywhere on the page.
 *
 * @returns whether the user holds files over the page
 */
export function useDrop(onDrop: (picking: Promise<readonly Picked[]>) => void): boolean {
  const isOver = useSignal(false)
  useEffect(() => {
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true
    const over = (event: DragEvent): void => {
      if (!hasFiles(event)) return
      event.preventDefault()
      isOver.value = true
    }
    const leave = (event: DragEvent): void => {
      if (event.relatedTarget === null) isOver.value = false
    }
    const drop = (event: DragEvent): void => {
      if (!hasFiles(event) || event.dataTransfer === null) return
      event.preventDefault()
      isOver.value = false
      onDrop(pickedOfDrop(event.dataTransfer))
    }
    addEventListener('dragover', over)
    addEventListener('dragleave', leave)
    addEventListener('drop', drop)
    return () => {
      removeEventListener('dragover', over)
      removeEventListener('dragleave', leave)
      removeEventListener('drop', drop)
    }
  }, [isOver, onDrop])
  return isOver.value
}
