/** One outgoing file or folder. */

import { bytesText, printable, type TreeSize } from '../../protocol/index.ts'
import { adviceForSender, refusedBy } from '../model/advice.ts'
import { calledOf, peopleText } from '../model/called.ts'
import { filesText } from '../model/groups.ts'
import type { DeliveryFailure, Outgoing, OutgoingProgress, ShownLink } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { LinkBox } from './link-form.tsx'
import { isOffline } from './offline.ts'
import { ProblemText } from './problem.tsx'
import { detailHash } from './route.ts'
import { Size } from './size.tsx'
import { roundDurationText } from './words.ts'

export interface OutgoingCardProps {
  readonly file: Outgoing
  readonly own: string
  /** The link by which guests receive the file; null where it is not for guests, or another browser made it. */
  readonly link?: ShownLink | null
  /** Saves the receipt of a transfer; where the page has a view of its timeline, a link to that takes its place. */
  readonly saveReceipt?: ((transferId: string) => void) | undefined
}

export function OutgoingCard({ file, own, link = null, saveReceipt }: OutgoingCardProps) {
  const progress = file.progress.value
  const name = printable(file.name)
  return (
    <article class={`card ${hasFailed(progress) ? 'bad' : ''}`} aria-label={name} data-phase={progress.phase}>
      <div class="title">
        <span class="name">{name}</span>
        <span class="soft small size">
          <Size sizeBytes={file.sizeBytes} tree={file.tree} />
          {file.isSealed ? ' · sealed' : ' · open'}
        </span>
      </div>
      <HopPicture picture={file.picture.value} own={own} />
      <div>
        <Told file={file} progress={progress} own={own} />
      </div>
      {link !== null && progress.phase === 'stored' && <LinkBox link={link} label={`The link of ${name}`} />}
      <p class="unseen" role="status">
        {name}: {isWaitingForNetwork(progress) ? 'waits' : saidOnce[progress.phase]}
      </p>
      <Actions file={file} progress={progress} saveReceipt={saveReceipt} />
    </article>
  )
}

/** Screen readers announce it when it changes. It leaves out the figures that change constantly. */
const saidOnce: Readonly<Record<OutgoingProgress['phase'], string>> = {
  queued: 'is queued',
  reading: 'is read again',
  sending: 'is being sent',
  paused: 'paused',
  silent: 'the portal does not answer',
  stored: 'stored at the portal',
  ended: 'every receiver has answered',
  refused: 'refused',
}

function isWaitingForNetwork({ phase }: OutgoingProgress): boolean {
  return isOffline.value && (phase === 'queued' || phase === 'silent')
}

function hasFailed(progress: OutgoingProgress): boolean {
  return (
    progress.phase === 'refused' ||
    (progress.phase === 'ended' && progress.failures.some((failure) => !isCancelled(failure)))
  )
}

/** Reasons that are the user's own decision and no failure. */
function isCancelled({ problem }: DeliveryFailure): boolean {
  return problem.code === 'cancelled'
}

interface PartProps {
  readonly file: Outgoing
  readonly progress: OutgoingProgress
}

function Told({ file, progress, own }: PartProps & { readonly own: string }) {
  const whole = bytesText(file.sizeBytes)
  // The header gives the reason for waiting, once for all files.
  if (isWaitingForNetwork(progress)) return <p class="soft">Waiting until this device is online again.</p>
  switch (progress.phase) {
    case 'queued':
      return <p class="soft">Queued.</p>
    case 'reading':
      return (
        <p>
          Reading {bytesText(progress.readBytes)} of {whole} again, to compare it with what the portal has.
        </p>
      )
    case 'sending':
      return (
        <>
          <p>{sendingText(progress, whole, file.tree)}</p>
          {progress.files !== null && progress.files.path !== null && (
            <p class="soft small path">{printable(progress.files.path)}</p>
          )}
        </>
      )
    case 'paused':
      return (
        <p>
          Paused. The portal has {bytesText(progress.acknowledgedBytes)} of {whole}.
        </p>
      )
    case 'silent':
      return (
        <p>
          The portal does not answer, and does not have the whole {file.tree === null ? 'file' : 'folder'} yet. This
          page retries automatically. <span class="soft small">{progress.reason}</span>
        </p>
      )
    case 'stored':
      return (
        <>
          <p>
            The portal has the whole {file.tree === null ? 'file' : 'folder'}, verified. Waiting for{' '}
            {peopleText(progress.waitingFor, own)}. You can close this page now.
          </p>
          <Failures failures={progress.failures} own={own} />
        </>
      )
    case 'refused':
      return (
        <ProblemText
          problem={progress.problem}
          advice={adviceForSender(progress.problem, null)}
          who={refusedBy(progress.problem)}
        />
      )
    case 'ended':
      return <Ended file={file} progress={progress} own={own} />
  }
}

function sendingText(
  { acknowledgedBytes, underwayBytes, bytesPerSecond, leftMs, files }: OutgoingProgress & { phase: 'sending' },
  whole: string,
  tree: TreeSize | null,
): string {
  const figures = [`The portal has ${bytesText(acknowledgedBytes)} of ${whole}`]
  if (files !== null && tree !== null)
    figures.push(`${files.doneCount.toLocaleString('en')} of ${filesText(tree.fileCount)}`)
  if (underwayBytes > 0) figures.push(`${bytesText(underwayBytes)} in transit`)
  if (bytesPerSecond !== null && bytesPerSecond > 0) figures.push(`${bytesText(bytesPerSecond)}/s`)
  if (leftMs !== null) figures.push(`about ${roundDurationText(leftMs)} left`)
  return figures.join(' · ')
}

function Ended({
  file,
  progress,
  own,
}: {
  readonly own: string
  readonly file: Outgoing
  readonly progress: OutgoingProgress & { phase: 'ended' }
}) {
  const { failures, proven } = progress
  const failed = new Set(failures.map(({ receiver }) => receiver))
  const delivered = file.to.filter((receiver) => !failed.has(receiver))
  const unproven = delivered.filter((receiver) => !proven.includes(receiver))
  return (
    <>
      {delivered.length > 0 && (
        <p>
          Delivered to {peopleText(delivered, own)}: arrived, intact
          {unproven.length === 0 ? ', receipt verified.' : '.'}
          {unproven.length > 0 && (
            <span class="soft"> Without a receipt of {peopleText(unproven, own)}, who has no keys to sign one.</span>
          )}
        </p>
      )}
      <Failures failures={failures} own={own} />
    </>
  )
}

interface FailuresProps {
  readonly failures: readonly DeliveryFailure[]
  readonly own: string
}

function Failures({ failures, own }: FailuresProps) {
  const cancelled = failures.filter(isCancelled).map(({ receiver }) => receiver)
  return (
    <>
      {cancelled.length > 0 && <p>Cancelled: not delivered to {peopleText(cancelled, own)}.</p>}
      {failures
        .filter((failure) => !isCancelled(failure))
        .map(({ receiver, problem }) => (
          <ProblemText
            key={receiver}
            problem={problem}
            advice={adviceForSender(problem, calledOf(receiver, own))}
            who={calledOf(receiver, own)}
          />
        ))}
    </>
  )
}

function Actions({ file, progress, saveReceipt }: PartProps & Pick<OutgoingCardProps, 'saveReceipt'>) {
  const { phase } = progress
  const transferId = file.transferId.value
  const isOver = phase === 'ended' || phase === 'refused'
  const isIncomplete = phase === 'refused' || (phase === 'ended' && progress.failures.length > 0)
  const isMoving = phase === 'sending' || phase === 'reading' || phase === 'silent' || phase === 'queued'
  return (
    <div class="row small">
      {isMoving && (
        <button type="button" class="slim" onClick={() => file.pause()}>
          Pause<span class="unseen"> {file.name}</span>
        </button>
      )}
      {phase === 'paused' && (
        <button type="button" class="slim" onClick={() => file.resume()}>
          Resume<span class="unseen"> {file.name}</span>
        </button>
      )}
      {!isOver && (
        <button type="button" class="plain slim" onClick={() => file.cancel()}>
          Cancel<span class="unseen"> {file.name}</span>
        </button>
      )}
      {transferId !== null && saveReceipt !== undefined && phase === 'ended' && progress.proven.length > 0 && (
        <button type="button" class="slim" onClick={() => saveReceipt(transferId)}>
          Save the receipt<span class="unseen"> of {file.name}</span>
        </button>
      )}
      {transferId !== null && saveReceipt === undefined && (phase === 'stored' || isOver) && (
        <a href={detailHash(transferId, true)}>
          Timeline{phase === 'ended' && progress.proven.length > 0 && ' and receipt'}
          <span class="unseen"> of {file.name}</span>
        </a>
      )}
      {isIncomplete && file.canSendAgain && (
        <button type="button" class="slim" onClick={() => file.sendAgain()}>
          Send again<span class="unseen"> {file.name}</span>
        </button>
      )}
      {isOver && (
        <button type="button" class="plain slim push" onClick={() => file.dismiss()}>
          Clear<span class="unseen"> {file.name}</span>
        </button>
      )}
    </div>
  )
}
