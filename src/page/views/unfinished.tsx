/** Transfers that an earlier visit has begun. */

import { useSignal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import { printable } from '../../protocol/index.ts'
import { peopleText } from '../model/called.ts'
import type { Picture } from '../model/hops.ts'
import { problemOf } from '../model/problem-of.ts'
import type { Unfinished } from '../model/types.ts'
import type { Picked } from '../platform/picked-folder.ts'
import { hasFolderDialogue, pickedOfInput, pickFolder } from '../platform/picking.ts'
import { takeFiles } from './chooser.tsx'
import { HopPicture } from './hop-picture.tsx'
import { Size } from './size.tsx'
import { timeText } from './words.ts'

/**
 * Transfers of an earlier visit. A browser does not return the files to the page, so the user has to choose them again.
 */
export function UnfinishedList({
  unfinished,
  own,
}: {
  readonly unfinished: readonly Unfinished[]
  readonly own: string
}) {
  if (unfinished.length === 0) return null
  return (
    <section aria-labelledby="unfinished">
      <div class="section-head">
        <h2 id="unfinished">Unfinished</h2>
      </div>
      <ul class="stack">
        {unfinished.map((one) => (
          <li key={one.transferId}>
            <UnfinishedCard one={one} own={own} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function UnfinishedCard({ one, own }: { readonly one: Unfinished; readonly own: string }) {
  const input = useRef<HTMLInputElement>(null)
  const wrong = useSignal<string | null>(null)
  const kind = one.tree === null ? 'file' : 'folder'
  const resume = async (picking: Promise<readonly Picked[]>): Promise<void> => {
    try {
      const [picked] = await picking
      if (picked !== undefined) wrong.value = one.resume(picked)
    } catch (error) {
      const { title, detail = title } = problemOf(error)
      wrong.value = detail
    }
  }
  const choose = (): void => {
    if (one.tree !== null && hasFolderDialogue()) {
      void resume(pickFolder().then((folder) => (folder === null ? [] : [folder])))
    } else input.current?.click()
  }
  return (
    <div class="card">
      <div class="title">
        <span class="name">{printable(one.name)}</span>
        <span class="soft small size">
          <Size sizeBytes={one.sizeBytes} tree={one.tree} />
        </span>
      </div>
      <HopPicture picture={begunPicture(one, own)} own={own} />
      <p>
        Started {timeText(one.createdAt)}, to {peopleText(one.to, own)}. Choose the same {kind} again to resume.
      </p>
      <p class="problem" role="alert">
        {wrong.value}
      </p>
      <div class="row">
        <button type="button" onClick={choose}>
          Choose the {kind}…
        </button>
        <button type="button" class="plain" onClick={() => void one.forget()}>
          Cancel<span class="unseen"> {printable(one.name)}</span>
        </button>
      </div>
      <input
        ref={(element) => {
          input.current = element
          if (element !== null) element.webkitdirectory = one.tree !== null
        }}
        class="unseen"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        data-for={one.transferId}
        onChange={(event) => void resume(pickedOfInput(takeFiles(event.currentTarget)))}
      />
    </div>
  )
}

function begunPicture({ to, sizeBytes }: Unfinished, own: string): Picture {
  return {
    sender: own,
    first: { state: 'held', doneBytes: 0, sizeBytes },
    second: to.map((receiver) => ({ receiver, hop: { state: 'ahead' } })),
  }
}
