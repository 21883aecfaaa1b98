/** For whoever has not joined in this browser, or cannot use it. */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import type { Picture } from '../model/hops.ts'
import type { Joining } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { Mark } from './mark.tsx'
import { ProblemText } from './problem.tsx'

const whole: Picture = {
  sender: 'sender',
  first: { state: 'done', at: null },
  second: [{ receiver: 'receiver', hop: { state: 'done', at: null } }],
}

function Plain({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
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

export function Unable({ reason, advice }: { readonly reason: string; readonly advice: string }) {
  return (
    <Plain title="This does not work here">
      <div class="stack">
        <p>{reason}</p>
        <p>{advice}</p>
      </div>
    </Plain>
  )
}

export function Elsewhere({ takeOver }: { readonly takeOver: () => void }) {
  return (
    <Plain title="GoLooader is open in another tab">
      <div class="stack">
        <p>
          Only one tab at a time sends and receives. If you use this one, what the other one is just sending stops: you
          choose the same file again here, and it goes on.
        </p>
        <p>
          <button type="button" class="main" onClick={takeOver}>
            Use this tab instead
          </button>
        </p>
      </div>
    </Plain>
  )
}

export function Welcome({ joining }: { readonly joining: Joining }) {
  return (
    <Plain title="Files that arrive, with proof">
      <HopPicture picture={whole} own="" />
      <div class="stack">
        <p>
          Send a file to somebody who may be offline just now, and be told twice what became of it: <b>1</b> that the
          portal has it, and <b>2</b> that the receiver has it, whole and verified, or exactly why not.
        </p>
        {joining.invite.value === null ? <AskForLink joining={joining} /> : <AcceptInvite joining={joining} />}
      </div>
    </Plain>
  )
}

function AcceptInvite({ joining }: { readonly joining: Joining }) {
  const { isUnderway, problem, replaces } = joining
  return (
    <div class="card">
      <h2>You have been invited to {location.host}</h2>
      {replaces !== null && (
        <p>
          In this browser you are <strong>{replaces}</strong> already. If the invite is for {replaces}, join: your keys
          stay the same. If it is for another account, use another browser, or another profile of it: here it would take
          the place of {replaces}.
        </p>
      )}
      <p class="soft">
        Joining makes your keys, in this browser and for this browser alone: nobody can copy them out, the portal never
        sees them. If you clear the data of this site, the operator has to invite you anew.
      </p>
      {problem.value !== null && (
        <div role="alert">
          <ProblemText problem={problem.value} advice={joinAdvice(problem.value.code, replaces)} />
        </div>
      )}
      <p>
        <button type="button" class="main" disabled={isUnderway.value} onClick={() => void joining.join()}>
          {isUnderway.value ? 'Joining…' : 'Join'}
        </button>{' '}
        {replaces !== null && (
          <button type="button" class="plain" onClick={() => joining.leave()}>
            Stay {replaces}
          </button>
        )}
      </p>
    </div>
  )
}

function joinAdvice(code: string, replaces: string | null): string | null {
  if (code === 'invite-invalid' && replaces !== null) {
    return `Invites work once. You have joined already: stay ${replaces}, nothing is lost.`
  }
  if (code === 'invite-invalid') return 'Invites work once, for a day. Ask the operator of the portal for a new one.'
  if (code === 'no-answer') return 'Look whether you are online, then try again.'
  return null
}

function AskForLink({ joining }: { readonly joining: Joining }) {
  const text = useSignal('')
  // Whoever came by a link that has no whole invite in it has to be told that.
  const isWrong = useSignal(location.hash.includes('gli_'))
  const use = (event: Event): void => {
    event.preventDefault()
    isWrong.value = !joining.useLink(text.value)
  }
  return (
    <form class="card" onSubmit={use}>
      <h2>
        <label for="invite">Your invite</label>
      </h2>
      <p class="soft">Open the link that the operator of this portal gave you, or paste it here.</p>
      <div class="row">
        <input
          id="invite"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="https://…/join#gli_…"
          aria-describedby="invite-wrong"
          aria-invalid={isWrong.value}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value
          }}
        />
        <button type="submit" class="main">
          Go on
        </button>
      </div>
      <p id="invite-wrong" class="problem" role="alert">
        {isWrong.value && 'This is not a whole invite: that is gli_, and 43 characters after it. Copy all of the link.'}
      </p>
    </form>
  )
}
