/** The root view: shows the present state of the page. */
import type { ReadonlySignal } from '@preact/signals'
import type { Stage } from '../model/types.ts'
import { MemberView } from './member.tsx'
import { Elsewhere, Starting, Unable, Welcome } from './welcome.tsx'

export function AppView({ stage, takeOver }: { readonly stage: ReadonlySignal<Stage>; readonly takeOver: () => void }) {
  const now = stage.value
  switch (now.stage) {
    case 'starting':
      return <Starting />
    case 'unable':
      return <Unable reason={now.reason} advice={now.advice} hasInvite={now.hasInvite} />
    case 'elsewhere':
      return <Elsewhere takeOver={takeOver} />
    case 'stranger':
      return <Welcome joining={now.joining} />
    case 'member':
      return <MemberView member={now.member} />
  }
}
