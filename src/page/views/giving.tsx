/** The page of a request link: who asks for files, the choice of them, and both notifications of each. */
import { useSignal } from '@preact/signals'
import { bytesText, printable } from '../../protocol/index.ts'
import { adviceForVisitor } from '../model/advice.ts'
import { itemsText } from '../model/groups.ts'
import { type Giving, type GuestSending, isOpen, type OpenRequest } from '../model/guest-types.ts'
import type { HistoryLine } from '../model/types.ts'
import { download } from '../platform/inbox/download.ts'
import { Chooser, pickedSizeOf } from './chooser.tsx'
import { HopPicture } from './hop-picture.tsx'
import { OutgoingCard } from './outgoing-card.tsx'
import { useDrop, useLeaveWarning } from './page-events.ts'
import { Plain, Shortcomings } from './plain.tsx'
import { ProblemText } from './problem.tsx'
import { type Selection, useSelection } from './selection.ts'
import { Size } from './size.tsx'
import { Failed, Finished, Looking } from './taking.tsx'
import { UnfinishedList } from './unfinished.tsx'
import { timeText } from './words.ts'

export function GivingView({ giving }: { readonly giving: Giving }) {
  const now = giving.state.value
  switch (now.state) {
    case 'looking':
      return <Looking isSilent={now.isSilent} />
    case 'failed':
      return <Failed problem={now.problem} lookAgain={() => giving.lookAgain()} />
    case 'open':
      return <Open request={now.request} shortcomings={giving.shortcomings} />
    case 'finished':
      return <Finished owner={now.owner} />
  }
}

function Open({ request, shortcomings }: { readonly request: OpenRequest; readonly shortcomings: readonly string[] }) {
  const { owner, label, isClosed, sending, problem } = request
  const selection = useSelection()
  const guest = sending.value
  useLeaveWarning(guest?.outgoing.files ?? null)
  const isOver = useDrop((picking) => {
    if (!isClosed) selection.add(picking)
  })
  return (
    <div class={isOver && !isClosed ? 'dropping' : ''} data-drop="Drop to send">
      <Plain
        title={
          <>
            {owner.account} asks you for {label === null ? 'files' : <bdi>“{printable(label)}”</bdi>}
          </>
        }
      >
        <div class="stack">
          {isClosed ? (
            <p>The request has been closed or has expired, so it takes no more files. Those that you sent are below.</p>
          ) : (
            <Choice request={request} selection={selection} />
          )}
          <Shortcomings of={shortcomings} />
          {problem.value !== null && (
            <div role="alert">
              <ProblemText problem={problem.value} advice={adviceForVisitor(problem.value)} />
            </div>
          )}
          {guest !== null && <Sent request={request} guest={guest} />}
        </div>
      </Plain>
    </div>
  )
}

interface ChoiceProps {
  readonly request: OpenRequest
  readonly selection: Selection
}

function Choice({ request, selection }: ChoiceProps) {
  const { chosen } = selection
  const { owner, expiresAt, filesLeft, bytesLeft } = request
  const all = chosen.value
  const bytes = all.reduce((sum, one) => sum + pickedSizeOf(one).sizeBytes, 0)
  const isTooMuch = all.length > filesLeft || bytes > bytesLeft
  const send = (): void => {
    request.send(all)
    chosen.value = []
  }
  return (
    <>
      <Chooser
        selection={selection}
        hint={`They are sealed: only ${owner.account} can read them, and the portal cannot.`}
      />
      {all.length > 0 && (
        <div class="row">
          <button type="button" class="main large" disabled={isTooMuch} onClick={send}>
            Send {all.length === 1 ? 'it' : itemsText(all.map(pickedSizeOf))} to {owner.account}
          </button>
          {isTooMuch && (
            <span class="problem">
              {owner.account} takes {filesLeft} more {filesLeft === 1 ? 'file' : 'files'} and {bytesText(bytesLeft)}.
            </span>
          )}
        </div>
      )}
      <p class="soft small">
        You get two notifications for each file: the portal has it, and {owner.account} has it, with a receipt that you
        can keep. {expiresAt !== null && `The request is open until ${timeText(expiresAt)}.`}
      </p>
    </>
  )
}

function Sent({ request, guest }: { readonly request: OpenRequest; readonly guest: GuestSending }) {
  const { outgoing, account, earlier } = guest
  const trouble = useSignal<string | null>(null)
  const files = outgoing.files.value
  const hasSent = files.length > 0 || earlier.value.length > 0
  // Without the keys this browser could not verify the receipt that is still to come.
  const isBusy = files.some(isOpen) || earlier.value.some(isWaiting) || outgoing.unfinished.value.length > 0
  const saveReceipt = (transferId: string, name: string): void => {
    trouble.value = null
    guest.receiptOf(transferId).then(
      (text) => {
        if (text === null) trouble.value = 'This browser has no receipt of it.'
        else download(new Blob([text], { type: 'text/plain' }), `${name}.receipt`)
      },
      (error: unknown) => {
        trouble.value = `The receipt could not be read: ${error instanceof Error ? error.message : String(error)}`
      },
    )
  }
  return (
    <>
      <UnfinishedList unfinished={outgoing.unfinished.value} own={account} />
      {hasSent && (
        <section aria-labelledby="sent">
          <div class="section-head">
            <h2 id="sent">Sent to {request.owner.account}</h2>
          </div>
          <ul class="stack">
            {files.map((file) => (
              <li key={file.key}>
                <OutgoingCard
                  file={file}
                  own={account}
                  saveReceipt={(transferId) => saveReceipt(transferId, printable(file.name))}
                />
              </li>
            ))}
            {earlier.value.map((line) => (
              <li key={line.transferId}>
                <EarlierCard
                  line={line}
                  own={account}
                  saveReceipt={() => saveReceipt(line.transferId, line.name ?? line.transferId)}
                />
              </li>
            ))}
          </ul>
          <p class="problem" role="alert">
            {trouble.value}
          </p>
        </section>
      )}
      {hasSent && !isBusy && (
        <section class="card" aria-label="Kept in this browser">
          <p>
            This browser keeps the receipts, and looks for new ones when you open the link again. When you need nothing
            more, remove them here.
          </p>
          <p>
            <button type="button" class="slim" onClick={() => request.finish()}>
              I am done, remove everything here
            </button>
          </p>
        </section>
      )}
    </>
  )
}

function isWaiting({ picture }: HistoryLine): boolean {
  return picture.second.some(({ hop }) => hop.state === 'held' || hop.state === 'moving' || hop.state === 'ahead')
}

interface EarlierCardProps {
  readonly line: HistoryLine
  readonly own: string
  readonly saveReceipt: () => void
}

function EarlierCard({ line, own, saveReceipt }: EarlierCardProps) {
  const name = line.name ?? 'A sealed file'
  return (
    <article class={`card ${line.isBad ? 'bad' : ''}`} aria-label={name}>
      <div class="title">
        <span class="name">{name}</span>
        <span class="soft small size">
          <Size sizeBytes={line.sizeBytes} tree={line.tree} /> · {line.outcome}
        </span>
      </div>
      <HopPicture picture={line.picture} own={own} />
      {line.outcome === 'delivered' && (
        <p>
          <button type="button" class="slim" onClick={saveReceipt}>
            Save the receipt<span class="unseen"> of {name}</span>
          </button>
        </p>
      )}
    </article>
  )
}
