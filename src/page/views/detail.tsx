/** One transfer: the picture, and one line for each event of both hops. */

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { calledOf, peopleText } from '../model/called.ts'
import type { Member, ReceiptLine, Step, TransferDetail } from '../model/types.ts'
import { download } from '../platform/inbox/download.ts'
import { HopPicture } from './hop-picture.tsx'
import { LinkBox } from './link-form.tsx'
import { ProblemText } from './problem.tsx'
import { Purpose } from './purpose.tsx'
import { Size } from './size.tsx'
import { exactTimeText } from './words.ts'

export interface DetailProps {
  readonly member: Member
  readonly transferId: string
  readonly isOwn: boolean
}

export function Detail({ member, transferId, isOwn }: DetailProps) {
  const detail = useSignal<TransferDetail | null>(null)
  const trouble = useSignal<string | null>(null)
  // Each change of the history also updates this view.
  const version = member.history.lines.value
  useEffect(() => {
    let isWanted = true
    member.history
      .detail(transferId, isOwn)
      .then((found) => {
        if (isWanted) detail.value = found
      })
      .catch((error: unknown) => {
        if (isWanted) trouble.value = error instanceof Error ? error.message : String(error)
      })
    return () => {
      isWanted = false
    }
  }, [member, transferId, isOwn, version, detail, trouble])
  const shown = detail.value
  return (
    <div class="stack">
      <p>
        <a href="#history">← History</a>
      </p>
      {shown === null ? (
        <p class="soft" role="status">
          {trouble.value ?? 'Loading…'}
        </p>
      ) : (
        <Shown member={member} detail={shown} />
      )}
    </div>
  )
}

function Shown({ member, detail }: { readonly member: Member; readonly detail: TransferDetail }) {
  const isCancelling = useSignal(false)
  const trouble = useSignal<string | null>(null)
  const link = (detail.isOwn && member.guests.value?.links.value.get(detail.to[0] ?? '')) || null
  const cancel = async (): Promise<void> => {
    isCancelling.value = true
    try {
      await member.history.cancel(detail.transferId)
      trouble.value = null
    } catch (error) {
      trouble.value = `Cancelling failed: ${error instanceof Error ? error.message : String(error)}`
    } finally {
      isCancelling.value = false
    }
  }
  return (
    <>
      <h1 style={{ overflowWrap: 'anywhere', unicodeBidi: 'isolate' }}>
        {detail.name ?? 'Sealed name: this browser has no key for it'}
      </h1>
      <div class="card">
        <HopPicture picture={detail.picture} own={member.account} />
      </div>
      {link !== null && detail.isOpen && (
        <div class="card">
          <LinkBox link={link} label="The link" />
        </div>
      )}
      <dl class="facts">
        <dt>Size</dt>
        <dd>
          <Size sizeBytes={detail.sizeBytes} tree={detail.tree} />{' '}
          <span class="soft small">
            ({detail.sizeBytes.toLocaleString()} bytes{detail.tree !== null && ' as a tar'}
            {!detail.isSizeKnown && ' so far, size not known yet'})
          </span>
        </dd>
        <dt>{detail.isOwn ? 'To' : 'From'}</dt>
        <dd>
          {detail.isOwn ? peopleText(detail.to, member.account) : calledOf(detail.from, member.account)}
          <Purpose label={detail.label} />
        </dd>
        <dt>Privacy</dt>
        <dd>{detail.isSealed ? 'Sealed: the portal cannot read it' : 'Open: the portal could read it'}</dd>
        {detail.signedBy !== null && (
          <>
            <dt>Signature</dt>
            <dd>
              Signed by {detail.from}, verified before the file was saved. Their keys:{' '}
              <span class="code">{detail.signedBy}</span>
            </dd>
          </>
        )}
        <dt>Transfer</dt>
        <dd class="code">{detail.transferId}</dd>
        {detail.isOpen && (
          <>
            <dt>Kept until</dt>
            <dd>{exactTimeText(detail.expiresAt)}</dd>
          </>
        )}
      </dl>
      <section aria-labelledby="timeline">
        <div class="section-head">
          <h2 id="timeline">Timeline</h2>
        </div>
        <ol class="timeline">
          {detail.steps.map((step, index) => (
            <TimelineStep key={`${index} ${step.at}`} step={step} />
          ))}
        </ol>
      </section>
      {detail.receipts.length > 0 && <Receipts receipts={detail.receipts} detail={detail} />}
      {detail.isOwn && detail.isOpen && (
        <p>
          <button type="button" disabled={isCancelling.value} onClick={() => void cancel()}>
            Cancel the remaining deliveries
          </button>{' '}
          <span class="problem" role="alert">
            {trouble.value}
          </span>
        </p>
      )}
    </>
  )
}

const hopClasses = ['of-0', 'of-1', 'of-2'] as const

function TimelineStep({ step }: { readonly step: Step }) {
  return (
    <li class={`${hopClasses[step.hop]} ${step.problem === null ? '' : 'bad'}`}>
      <span class="soft small">{step.at === null ? '' : <time dateTime={step.at}>{exactTimeText(step.at)}</time>}</span>
      <div>
        <p>
          {step.hop !== 0 && <span class="unseen">Hop {step.hop}: </span>}
          {step.text}
        </p>
        {step.problem !== null && <ProblemText problem={step.problem} advice={step.advice} />}
      </div>
    </li>
  )
}

function Receipts({
  receipts,
  detail,
}: {
  readonly receipts: readonly ReceiptLine[]
  readonly detail: TransferDetail
}) {
  return (
    <section aria-labelledby="receipts">
      <div class="section-head">
        <h2 id="receipts">Receipts</h2>
      </div>
      <ul class="stack">
        {receipts.map(({ receiver, isProven, problem, text }) => (
          <li key={receiver} class={`card ${isProven ? '' : 'bad'}`}>
            {isProven ? (
              <p>
                {detail.isOwn ? (
                  <>
                    <strong>{receiver}</strong> signed that exactly this file arrived complete. This browser verified
                    the signature.
                  </>
                ) : (
                  <>You signed that exactly this file arrived complete. {detail.from} has this receipt.</>
                )}
              </p>
            ) : (
              problem !== null && (
                <ProblemText
                  problem={problem}
                  advice={
                    detail.isOwn ? 'Do not rely on it.' : 'Without that key your receipt cannot be written again.'
                  }
                  who={receiver}
                />
              )
            )}
            {text !== null && (
              <p class="row">
                <button
                  type="button"
                  class="slim"
                  onClick={() =>
                    download(
                      new Blob([text], { type: 'text/plain' }),
                      `${detail.name ?? detail.transferId}.${receiver}.receipt`,
                    )
                  }
                >
                  Download the receipt<span class="unseen"> of {receiver}</span>
                </button>
                <span class="soft small">
                  Anyone can verify it offline: <span class="code">golooader verify FILE --receipt RECEIPT</span>
                </span>
              </p>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}
