/** The root view of the page of a link. */
import type { ReadonlySignal } from '@preact/signals'
import type { GuestStage } from '../model/guest-types.ts'
import { GivingView } from './giving.tsx'
import { Elsewhere, Plain, Unable } from './plain.tsx'
import { TakingView } from './taking.tsx'

export interface GuestViewProps {
  readonly stage: ReadonlySignal<GuestStage>
  readonly takeOver: () => void
}

export function GuestView({ stage, takeOver }: GuestViewProps) {
  const now = stage.value
  switch (now.stage) {
    case 'starting':
      return <Plain title="Opening the link…" />
    case 'incomplete':
      return (
        <Plain title="This link is not complete">
          <p>Copy all of it, from https to its last character, and open it again. It has not been used.</p>
        </Plain>
      )
    case 'unable':
      return (
        <Unable reason={now.reason} advice={now.advice}>
          <p>The link has not been used: open it again in another browser.</p>
        </Unable>
      )
    case 'elsewhere':
      return (
        <Elsewhere takeOver={takeOver}>
          Only one tab at a time works with a link. If you use this tab, the other one stops, and this one continues
          what has arrived. A file that you were sending has to be chosen again here.
        </Elsewhere>
      )
    case 'taking':
      return <TakingView taking={now.taking} />
    case 'giving':
      return <GivingView giving={now.giving} />
  }
}
