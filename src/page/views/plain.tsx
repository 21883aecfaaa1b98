/** What the page of an account and the page of a link show when there is nothing else to show. */
import type { ComponentChildren } from 'preact'
import { Mark } from './mark.tsx'

interface PlainProps {
  readonly title: ComponentChildren
  readonly children?: ComponentChildren
}

/** A page without views: one title, and what follows from it. */
export function Plain({ title, children }: PlainProps) {
  return (
    <main class="page">
      <div class="welcome">
        <p class="mark">
          <Mark /> GoLooader
        </p>
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  )
}

export function Starting() {
  return <main class="page" aria-busy="true" />
}

interface UnableProps {
  readonly reason: string
  readonly advice: string
  /** What the user loses by that, or does not. */
  readonly children?: ComponentChildren
}

export function Unable({ reason, advice, children }: UnableProps) {
  return (
    <Plain title="This page does not work here">
      <div class="stack">
        <p>{reason}</p>
        <p>{advice}</p>
        {children}
      </div>
    </Plain>
  )
}

interface ElsewhereProps {
  readonly takeOver: () => void
  /** What the takeover does. */
  readonly children: ComponentChildren
}

export function Elsewhere({ takeOver, children }: ElsewhereProps) {
  return (
    <Plain title="GoLooader is open in another tab">
      <div class="stack">
        <p>{children}</p>
        <p>
          <button type="button" class="main" onClick={takeOver}>
            Use this tab instead
          </button>
        </p>
      </div>
    </Plain>
  )
}

/** The limitations of this browser. */
export function Shortcomings({ of }: { readonly of: readonly string[] }) {
  return of.map((text) => <p key={text}>{text}</p>)
}
