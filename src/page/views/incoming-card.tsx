/** One incoming file or folder. */
import { useSignal } from '@preact/signals'
import { bytesText, type ProblemJson, printable, unknownMediaType } from '../../protocol/index.ts'
import { adviceForReceiver } from '../model/advice.ts'
import { calledOf } from '../model/called.ts'
import { filesText } from '../model/groups.ts'
import type { Incoming, IncomingProgress } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { ProblemText } from './problem.tsx'
import { Purpose } from './purpose.tsx'
import { detailHash } from './route.ts'
import { Size } from './size.tsx'
import { roundDurationText } from './words.ts'

/** Names of accounts stay as they are. */
function sentenceStart(called: string): string {
  return called.replace(/^a (?=guest$)/, 'A ')
}

/** The media type where it says something. */
function typeText(mediaType: string | null): string {
  return mediaType === null || mediaType === unknownMediaType ? '' : ` · ${mediaType}`
}

export interface IncomingCardProps {
  readonly file: Incoming
  readonly own: string
  /** Whether the page has more views: the timeline of a file, and the list that a file can be removed from. */
  readonly isListed?: boolean
}

export function IncomingCard({ file, own, isListed = true }: IncomingCardProps) {
  const progress = file.progress.value
  const isBad =
    progress.phase === 'withdrawn' || (progress.phase === 'declined' && progress.problem.code !== 'declined')
  return (
    <article class={`card ${isBad ? 'bad' : ''}`} aria-label={file.name.value} data-phase={progress.phase}>
      <div class="title">
        <span class="name">{file.name.value}</span>
        <span class="soft small size">
          <Size sizeBytes={file.sizeBytes.value} tree={file.tree.value} /> from{' '}
          <strong>{calledOf(file.from, own)}</strong>
          <Purpose label={file.label.value} />
          {file.tree.value === null && typeText(file.mediaType.value)}
          {file.isSealed !== null && (file.isSealed ? ' · sealed' : ' · open')}
        </span>
      </div>
      <HopPicture picture={file.picture.value} own={own} />
      <div>
        <Told file={file} progress={progress} own={own} />
      </div>
      <p class="unseen" role="status">
        {file.name.value}: {saidOnce[progress.phase]}
      </p>
      {file.trouble.value !== null && (
        <p class="problem" role="alert">
          {file.trouble.value}
        </p>
      )}
      {isListed && <Actions file={file} progress={progress} />}
    </article>
  )
}

/** Screen readers announce it when it changes. It leaves out the figures that change constantly. */
const saidOnce: Readonly<Record<IncomingProgress['phase'], string>> = {
  asking: 'needs your decision',
  fetching: 'is being received',
  unpacking: 'is being written into your folder',
  waiting: 'waits',
  received: 'received',
  declined: 'not accepted',
  withdrawn: 'withdrawn',
}

interface PartProps {
  readonly file: Incoming
  readonly progress: IncomingProgress
}

function Told({ file, progress, own }: PartProps & { readonly own: string }) {
  const from = calledOf(file.from, own)
  switch (progress.phase) {
    case 'asking':
      return (
        <p>
          <strong>{sentenceStart(from)}</strong> offers you this {file.tree.value === null ? 'file' : 'folder'}. Nothing
          has been received yet.
        </p>
      )
    case 'fetching':
      return <p>{fetchingText(progress, file.sizeBytes.value)}</p>
    case 'unpacking':
      return (
        <>
          <p>
            All of it is here, verified. {progress.doneCount.toLocaleString('en')} of{' '}
            {filesText(file.tree.value?.fileCount ?? 0)} are in your folder.
          </p>
          {progress.path !== null && <p class="soft small path">{progress.path}</p>}
        </>
      )
    case 'waiting':
      return <p>{progress.reason}</p>
    case 'received':
      return <ReceivedText progress={progress} from={from} />
    case 'declined':
      if (progress.problem.code === 'declined') return <DeclinedText problem={progress.problem} from={from} />
      return <ProblemText problem={progress.problem} advice={adviceForReceiver(progress.problem)} />
    case 'withdrawn':
      return <ProblemText problem={progress.problem} advice={adviceForReceiver(progress.problem)} />
  }
}

function fetchingText(
  { heldBytes, bytesPerSecond, leftMs }: IncomingProgress & { phase: 'fetching' },
  sizeBytes: number | null,
): string {
  const whole = sizeBytes === null ? 'so far' : `of ${bytesText(sizeBytes)}`
  const figures = [`${bytesText(heldBytes)} ${whole} here, verified`]
  if (bytesPerSecond !== null && bytesPerSecond > 0) figures.push(`${bytesText(bytesPerSecond)}/s`)
  if (leftMs !== null) figures.push(`about ${roundDurationText(leftMs)} left`)
  return figures.join(' · ')
}

/** Reasons that are the user's own decision and no failure. */
function DeclinedText({ problem, from }: { readonly problem: ProblemJson; readonly from: string }) {
  const reason = problem.detail
  return (
    <p>
      You declined it, and {from} has been told so{reason === undefined ? '.' : ': '}
      {reason !== undefined && <q>{printable(reason)}</q>}
    </p>
  )
}

interface ReceivedProps {
  readonly progress: IncomingProgress & { phase: 'received' }
  readonly from: string
}

function ReceivedText({ progress, from }: ReceivedProps) {
  const { finalName, folder, signedBy, unpacked } = progress
  return (
    <>
      <p>
        Arrived, intact; {from} has your receipt.{' '}
        {folder === null ? (
          <>
            Your browser saves it as <bdi dir="ltr">{finalName}</bdi>.
          </>
        ) : (
          <>
            It is in {folder}, as <bdi dir="ltr">{finalName}</bdi>.
          </>
        )}
      </p>
      {unpacked !== null && unpacked.linkCount > 0 && (
        <p class="soft small">
          Left out: {unpacked.linkCount.toLocaleString('en')} symbolic {unpacked.linkCount === 1 ? 'link' : 'links'}.
          Browsers cannot make them.
        </p>
      )}
      {unpacked !== null && unpacked.renamedCount > 0 && (
        <details class="soft small">
          <summary>
            {unpacked.renamedCount.toLocaleString('en')} {unpacked.renamedCount === 1 ? 'entry has' : 'entries have'}{' '}
            another name than at its sender.
          </summary>
          <ul>
            {unpacked.renamed.map(({ path, writtenAs }) => (
              <li key={path}>
                <bdi>{printable(path)}</bdi> is <bdi>{printable(writtenAs)}</bdi>
              </li>
            ))}
          </ul>
        </details>
      )}
      {signedBy !== null && (
        <p class="soft small">
          Signed by {from}, whose keys are <span class="code">{signedBy}</span>
        </p>
      )}
    </>
  )
}

function Actions({ file, progress }: PartProps) {
  const isDeclining = useSignal(false)
  const { phase } = progress
  if (isDeclining.value && phase === 'asking') {
    return <Decline file={file} onBack={() => (isDeclining.value = false)} />
  }
  const isKept = phase === 'received' && progress.keptHere
  const isOver = phase === 'received' || phase === 'declined' || phase === 'withdrawn'
  return (
    <div class="row small">
      {phase === 'asking' && (
        <>
          <button type="button" class="main slim" onClick={() => file.accept()}>
            Accept<span class="unseen"> {file.name.value}</span>
          </button>
          <button type="button" class="slim" onClick={() => (isDeclining.value = true)}>
            Decline…<span class="unseen"> {file.name.value}</span>
          </button>
        </>
      )}
      {phase === 'received' && (
        <a href={detailHash(file.transferId, false)}>
          Timeline and receipt<span class="unseen"> of {file.name.value}</span>
        </a>
      )}
      {isOver && !isKept && (
        <button type="button" class="plain slim push" onClick={() => file.dismiss()}>
          Clear<span class="unseen"> {file.name.value}</span>
        </button>
      )}
    </div>
  )
}

const REASON_LENGTH_MAX = 500

function Decline({ file, onBack }: { readonly file: Incoming; readonly onBack: () => void }) {
  const reason = useSignal('')
  const decline = (event: Event): void => {
    event.preventDefault()
    file.decline(reason.value.trim())
  }
  return (
    <form class="stack" style={{ gap: '8px' }} onSubmit={decline}>
      <label for={`why-${file.transferId}`}>Why? {sentenceStart(calledOf(file.from, ''))} reads what you write.</label>
      <input
        id={`why-${file.transferId}`}
        type="text"
        maxLength={REASON_LENGTH_MAX}
        placeholder="Wrong version, please send the one of Friday"
        value={reason.value}
        onInput={(event) => {
          reason.value = event.currentTarget.value
        }}
      />
      <div class="row">
        <button type="submit" class="slim">
          Decline<span class="unseen"> {file.name.value}</span>
        </button>
        <button type="button" class="plain slim" onClick={onBack}>
          Back
        </button>
      </div>
    </form>
  )
}
