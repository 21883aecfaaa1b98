/** The page of a browser that has no account. */
import { useSignal } from '@preact/signals'
import { tokenRemovedText } from '../../client/index.ts'
import type { Picture } from '../model/hops.ts'
import type { Joining } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { Plain, Shortcomings } from './plain.tsx'
import { ProblemText } from './problem.tsx'

const whole: Picture = {
  sender: 'sender',
  first: { state: 'done', at: null },
  second: [{ receiver: 'receiver', hop: { state: 'done', at: null } }],
}

export function Welcome({ joining }: { readonly joining: Joining }) {
  return (
    <Plain title="Files that arrive, with proof">
      <HopPicture picture={whole} own="" />
      <div class="stack">
        <p>
          Send a file to a person who may be offline just now. You get two notifications: <b>1</b> the portal has the
          file, and <b>2</b> the receiver has it, whole and verified, or exactly why not.
        </p>
        {joining.invite.value === null ? <AskForLink joining={joining} /> : <AcceptInvite joining={joining} />}
      </div>
    </Plain>
  )
}

function AcceptInvite({ joining }: { readonly joining: Joining }) {
  const { about, isUnderway, problem, replaces, shortcomings } = joining
  return (
    <div class="card">
      <h2>You have been invited to {location.host}</h2>
      {about.value !== null && (
        <p>
          Your name there {about.value.isRenewal ? 'stays' : 'will be'} <strong>{about.value.account}</strong>.
        </p>
      )}
      {replaces !== null && <Replacing replaces={replaces} account={about.value?.account ?? null} />}
      <p class="soft">
        Joining creates your keys. They stay in this browser, and the portal never sees them. If you clear the data of
        this site, the operator has to invite you again.
      </p>
      <Shortcomings of={shortcomings} />
      {problem.value !== null && (
        <div role="alert">
          <ProblemText problem={problem.value} advice={joinAdvice(problem.value.code, replaces)} />
        </div>
      )}
      <p>
        {replaces !== null && (
          <button type="button" class="main" onClick={() => joining.leave()}>
            Stay {replaces}
          </button>
        )}{' '}
        <button
          type="button"
          class={replaces === null ? 'main' : ''}
          disabled={isUnderway.value}
          onClick={() => void joining.join()}
        >
          {isUnderway.value ? 'Joining…' : 'Join'}
        </button>
      </p>
    </div>
  )
}

/** @param account the account of the invite; null until it is known */
function Replacing({ replaces, account }: { readonly replaces: string; readonly account: string | null }) {
  if (account === replaces) {
    return (
      <p>
        In this browser you are <strong>{replaces}</strong> already. If you join, your keys stay the same.
      </p>
    )
  }
  return (
    <p>
      In this browser you are <strong>{replaces}</strong> already. If you join as {account ?? 'another account'} here,
      that replaces {replaces}. To keep both, use another browser, or another profile of this one.
    </p>
  )
}

function joinAdvice(code: string, replaces: string | null): string | null {
  if (code === 'invite-invalid' && replaces !== null) {
    return `Invites work once. You have joined already: stay ${replaces}, nothing is lost.`
  }
  if (code === 'invite-invalid') return 'Invites work once, for a day. Ask the operator of the portal for a new one.'
  if (code === 'credentials-missing') return tokenRemovedText
  if (code === 'no-answer') return 'Check that you are online, then try again.'
  return null
}

function AskForLink({ joining }: { readonly joining: Joining }) {
  const text = useSignal('')
  // A link with an incomplete invite shows the error at once.
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
          Continue
        </button>
      </div>
      <p id="invite-wrong" class="problem" role="alert">
        {isWrong.value &&
          'This invite is not complete. An invite is gli_ followed by 43 characters. Copy the whole link.'}
      </p>
    </form>
  )
}
