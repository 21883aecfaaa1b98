/** The page as a whole: which of its states is shown. */
import type { ReadonlySignal } from '@preact/signals'
import type { Stage } from '../model/types.ts'
import { Member } from './member.tsx'
import { Elsewhere, Starting, Unable, Welcome } from './welcome.tsx'

export function App({ stage, takeOver }: { readonly stage: ReadonlySignal<Stage>; readonly takeOver: () => void }) {
  const now = stage.value
  switch (now.stage) {
    case 'starting':
      return <Starting />
    case 'unable':
      return <Unable reason={now.reason} advice={now.advice} />
    case 'elsewhere':
      return <Elsewhere takeOver={takeOver} />
    case 'stranger':
      return <Welcome joining={now.joining} />
    case 'member':
      return <Member member={now.member} />
  }
}
