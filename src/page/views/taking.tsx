/** The page of a send link: who sends what, one button, and what happens then. */
import { useSignal } from '@preact/signals'
import { type ProblemJson, printable } from '../../protocol/index.ts'
import { adviceForVisitor } from '../model/advice.ts'
import type { LinkOwner, Offered, Taking, TakingState } from '../model/guest-types.ts'
import type { Picture } from '../model/hops.ts'
import type { Incoming } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { IncomingCard } from './incoming-card.tsx'
import { isOffline } from './offline.ts'
import { Plain, Shortcomings } from './plain.tsx'
import { ProblemText } from './problem.tsx'
import { Size } from './size.tsx'
import { timeText } from './words.ts'

/** The name in pictures before the guest is known. */
const YOU = 'you'

export function TakingView({ taking }: { readonly taking: Taking }) {
  const now = taking.state.value
  switch (now.state) {
    case 'locked':
      return <Locked taking={taking} now={now} />
    case 'looking':
      return <Looking isSilent={now.isSilent} />
    case 'absent':
      return (
        <Plain title={`${now.owner.account} has no file for you by this link yet`}>
          <div class="stack">
            <p>
              It may still be on its way to the portal, or {now.owner.account} has cancelled it. If it is not here in a
              minute, ask {now.owner.account} for a new link.
            </p>
            <p>
              <button type="button" onClick={() => taking.lookAgain()}>
                Look again
              </button>
            </p>
          </div>
        </Plain>
      )
    case 'offered':
      return <OfferedFile taking={taking} offered={now.offered} />
    case 'receiving':
      return <Receiving taking={taking} now={now} />
    case 'taken':
      return (
        <Plain title="This file has been received already">
          <div class="stack">
            <p>
              A person with this link received it{now.at !== null && ` ${timeText(now.at)}`}, and {now.owner.account}{' '}
              has the receipt.
            </p>
            <p>If that was not you, ask {now.owner.account} for another link. Each link works once for each person.</p>
          </div>
        </Plain>
      )
    case 'failed':
      return <Failed problem={now.problem} lookAgain={() => taking.lookAgain()} />
    case 'finished':
      return <Finished owner={now.owner} />
  }
}

export function Looking({ isSilent }: { readonly isSilent: boolean }) {
  return (
    <Plain title="Opening the link…">
      <p role="status">
        {isOffline.value
          ? 'This device is offline. The page continues when it is online again.'
          : isSilent && 'The portal does not answer. The page tries again by itself.'}
      </p>
    </Plain>
  )
}

export function Failed({ problem, lookAgain }: { readonly problem: ProblemJson; readonly lookAgain: () => void }) {
  return (
    <Plain title="This link does not work">
      <div class="stack">
        <div role="alert">
          <ProblemText problem={problem} advice={adviceForVisitor(problem)} />
        </div>
        <p>
          <button type="button" onClick={lookAgain}>
            Try again
          </button>
        </p>
      </div>
    </Plain>
  )
}

/** @param owner null where the page no longer knows it */
export function Finished({ owner }: { readonly owner: LinkOwner | null }) {
  return (
    <Plain title="Done">
      <p>
        Nothing of {owner === null ? 'the link' : `${owner.account}'s link`} is left in this browser. You can close this
        page.
      </p>
    </Plain>
  )
}

function Locked({ taking, now }: { readonly taking: Taking; readonly now: TakingState & { state: 'locked' } }) {
  const text = useSignal('')
  const open = (event: Event): void => {
    event.preventDefault()
    taking.unlock(text.value)
  }
  return (
    <Plain title="A file for you, with a passphrase">
      <form class="card" onSubmit={open}>
        <label for="passphrase">The passphrase that the sender told you</label>
        <div class="row">
          <input
            id="passphrase"
            type="password"
            autocomplete="off"
            required
            aria-describedby="passphrase-wrong"
            aria-invalid={now.isWrong}
            value={text.value}
            onInput={(event) => {
              text.value = event.currentTarget.value
            }}
          />
          <button type="submit" class="main" disabled={now.isOpening}>
            {now.isOpening ? 'Opening…' : 'Open'}
          </button>
        </div>
        <p id="passphrase-wrong" class="problem" role="alert">
          {now.isWrong &&
            'The passphrase is wrong, or the link has expired. Check capital letters, and ask the sender if it still fails.'}
        </p>
        <p class="soft small">It stays in this browser: the portal never learns it.</p>
      </form>
    </Plain>
  )
}

function OfferedFile({ taking, offered }: { readonly taking: Taking; readonly offered: Offered }) {
  const { owner, name, sizeBytes, tree, isStored, expiresAt } = offered
  const size = sizeBytes ?? 0
  const picture: Picture = {
    sender: owner.account,
    first: isStored ? { state: 'done', at: null } : { state: 'held', doneBytes: 0, sizeBytes: size },
    second: [{ receiver: YOU, hop: isStored ? { state: 'held', doneBytes: 0, sizeBytes: size } : { state: 'ahead' } }],
  }
  const kind = tree === null ? 'file' : 'folder'
  return (
    <Plain
      title={
        <>
          {owner.account} sends you <bdi>{name === null ? `a ${kind}` : printable(name)}</bdi>
        </>
      }
    >
      <HopPicture picture={picture} own={YOU} />
      <div class="stack">
        <p>
          {sizeBytes !== null && <Size sizeBytes={sizeBytes} tree={tree} />}
          {sizeBytes !== null && ' · '}sealed: only people with this link can read it
        </p>
        {!isStored && (
          <p>{owner.account} is still sending it to the portal. You can begin: it comes as soon as it is there.</p>
        )}
        <Shortcomings of={taking.shortcomings} />
        <p>
          <button type="button" class="main large" onClick={() => taking.take()}>
            Receive
          </button>
        </p>
        <p class="soft small">
          When all of it is here and verified, {owner.account} gets a receipt: a person with this link has the {kind}.
          The link works until {timeText(expiresAt)}.
        </p>
      </div>
    </Plain>
  )
}

function Receiving({ taking, now }: { readonly taking: Taking; readonly now: TakingState & { state: 'receiving' } }) {
  const { owner, guest, file, isElsewhere, isConnected } = now
  const phase = file?.progress.value.phase
  const isOver = phase === 'received' || phase === 'declined' || phase === 'withdrawn'
  return (
    <Plain title={titleOf(owner, file)}>
      <div class="stack">
        {file !== null && <IncomingCard file={file} own={guest} isListed={false} />}
        <p role="status">
          {!isOver && !isConnected && waitText()}
          {!isOver && isConnected && file === null && offerText(owner, isElsewhere)}
        </p>
        {file !== null && phase === 'received' && <Kept taking={taking} file={file} />}
        {phase === 'withdrawn' && <p>Nothing of it is left in this browser.</p>}
        {phase === 'declined' && (
          <p>{owner.account} has been told why. Nothing of it is left in this browser: the link can be used again.</p>
        )}
      </div>
    </Plain>
  )
}

function titleOf({ account }: LinkOwner, file: Incoming | null): string {
  switch (file?.progress.value.phase) {
    case 'received':
      return `Received from ${account}`
    case 'declined':
    case 'withdrawn':
      return `Not received from ${account}`
    default:
      return `Receiving from ${account}`
  }
}

function waitText(): string {
  return isOffline.value
    ? 'This device is offline. The page continues when it is online again.'
    : 'Connecting to the portal. If the connection breaks, the page continues by itself.'
}

function offerText({ account }: LinkOwner, isElsewhere: boolean): string {
  return isElsewhere
    ? 'Another device is receiving it by this link right now. This page waits, in case it does not finish there.'
    : `Waiting for ${account} to finish sending it to the portal. Keep this page open.`
}

/** Browsers do not tell a page whether a download succeeded. */
function Kept({ taking, file }: { readonly taking: Taking; readonly file: Incoming }) {
  const progress = file.progress.value
  const isHere = progress.phase === 'received' && progress.keptHere
  return (
    <section class="card" aria-label="Kept in this browser">
      <p>
        {file.from}'s receipt says that a person with this link has it. Check your downloads, then remove it here:
        nothing of the link stays in this browser.
      </p>
      <div class="row small">
        {isHere && (
          <button type="button" class="slim" onClick={() => void file.save()}>
            Save again
          </button>
        )}
        <button type="button" class="slim" onClick={() => taking.finish()}>
          I have it, remove it here
        </button>
      </div>
    </section>
  )
}
