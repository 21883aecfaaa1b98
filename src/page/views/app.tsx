/** The root view: shows the present state of the page. */
import type { ReadonlySignal } from '@preact/signals'
import type { Stage } from '../model/types.ts'
import { MemberView } from './member.tsx'
import { Elsewhere, Starting, Unable } from './plain.tsx'
import { Welcome } from './welcome.tsx'

export function AppView({ stage, takeOver }: { readonly stage: ReadonlySignal<Stage>; readonly takeOver: () => void }) {
  const now = stage.value
  switch (now.stage) {
    case 'starting':
      return <Starting />
    case 'unable':
      return (
        <Unable reason={now.reason} advice={now.advice}>
          {now.hasInvite && <p>Your invite has not been used: open its link again where you want to use it.</p>}
        </Unable>
      )
    case 'elsewhere':
      return (
        <Elsewhere takeOver={takeOver}>
          Only one tab at a time sends and receives. If you use this tab, the other one stops sending. Choose the same
          file again here, and it continues.
        </Elsewhere>
      )
    case 'stranger':
      return <Welcome joining={now.joining} />
    case 'member':
      return <MemberView member={now.member} />
  }
}
