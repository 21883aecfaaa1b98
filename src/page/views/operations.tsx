/**
 * The health of the portal, for its operators. It shows neither content nor names, because the portal knows neither.
 */
import { useEffect } from 'preact/hooks'
import { bytesText, type Operations } from '../../protocol/index.ts'
import type { OperationsModel } from '../model/types.ts'
import { timeText } from './words.ts'

export function OperationsView({ operations }: { readonly operations: OperationsModel }) {
  useEffect(() => operations.watch(), [operations])
  const report = operations.report.value
  const problem = operations.problem.value
  return (
    <div class="stack">
      <h1>The portal</h1>
      {problem !== null && (
        <p class="notice bad" role="alert">
          {problem}
        </p>
      )}
      {report === null ? (
        <p class="soft" role="status">
          Loading…
        </p>
      ) : (
        <Report report={report} />
      )}
    </div>
  )
}

function Report({ report }: { readonly report: Operations }) {
  return (
    <>
      <div class="figures">
        <Storage report={report} />
        <Counts title="Transfers" counts={report.transfers} />
        <Counts title="Deliveries" counts={report.deliveries} />
        {report.guests !== undefined && <Guests counts={report.guests} />}
        {report.webhooks !== undefined && <Webhooks counts={report.webhooks} />}
      </div>
      <Throughput report={report} />
      <Online report={report} />
      <Problems report={report} />
    </>
  )
}

function Storage({ report: { storage } }: { readonly report: Operations }) {
  const { usedBytes, limitBytes, freeBytes } = storage
  const boundBytes = limitBytes ?? (freeBytes === null ? null : usedBytes + freeBytes)
  return (
    <section class="card" aria-label="Storage">
      <h2>Storage</h2>
      <p class="figure">{bytesText(usedBytes)}</p>
      {boundBytes !== null && (
        <div class="meter" aria-hidden="true">
          <div style={{ width: `${boundBytes === 0 ? 100 : Math.min(100, (usedBytes / boundBytes) * 100)}%` }} />
        </div>
      )}
      <p class="soft small">
        {boundBytes === null ? 'in use' : `in use of ${bytesText(boundBytes)}`}
        {freeBytes !== null && `, ${bytesText(freeBytes)} free on its disk`}
      </p>
    </section>
  )
}

/** People without an account, and the requests by which they may send. */
function Webhooks({ counts: { waiting, ...webhooks } }: { readonly counts: NonNullable<Operations['webhooks']> }) {
  return <Counts title="Webhooks" counts={{ ...webhooks, 'messages waiting': waiting }} />
}

function Guests({ counts: { requests, ...guests } }: { readonly counts: NonNullable<Operations['guests']> }) {
  return <Counts title="Guests" counts={{ ...guests, 'open requests': requests }} />
}

function Counts({ title, counts }: { readonly title: string; readonly counts: object }) {
  return (
    <section class="card" aria-label={title}>
      <h2>{title}</h2>
      <dl class="facts small">
        {Object.entries<number>({ ...counts }).map(([state, count]) => (
          <CountLine key={state} state={state} count={count} />
        ))}
      </dl>
    </section>
  )
}

function CountLine({ state, count }: { readonly state: string; readonly count: number }) {
  return (
    <>
      <dt>{state}</dt>
      <dd style={{ textAlign: 'end' }}>{count.toLocaleString()}</dd>
    </>
  )
}

const CHART = { width: 600, height: 120, middle: 60 }

/** For each minute, a bar upwards for stored bytes and one downwards for delivered bytes: the two hops. */
function Throughput({ report: { throughput } }: { readonly report: Operations }) {
  const most = Math.max(1, ...throughput.flatMap(({ storedBytes, deliveredBytes }) => [storedBytes, deliveredBytes]))
  const step = CHART.width / Math.max(1, throughput.length)
  const heightOf = (bytes: number): number => (bytes === 0 ? 0 : Math.max(2, (bytes / most) * (CHART.middle - 4)))
  const storedBytes = throughput.reduce((sum, minute) => sum + minute.storedBytes, 0)
  const deliveredBytes = throughput.reduce((sum, minute) => sum + minute.deliveredBytes, 0)
  return (
    <section class="card" aria-label="Throughput">
      <h2>The last hour</h2>
      <p>
        <span style={{ color: 'var(--hop-1)' }}>▲ {bytesText(storedBytes)} stored</span>
        {' · '}
        <span style={{ color: 'var(--hop-2)' }}>▼ {bytesText(deliveredBytes)} delivered</span>
        <span class="soft small"> · at most {bytesText(most)} per minute</span>
      </p>
      <svg class="chart" viewBox={`0 0 ${CHART.width} ${CHART.height}`} preserveAspectRatio="none" aria-hidden="true">
        <line x1="0" x2={CHART.width} y1={CHART.middle} y2={CHART.middle} />
        {throughput.map((minute, index) => (
          <g key={minute.at}>
            <rect
              class="in"
              x={index * step + 1}
              width={step - 2}
              y={CHART.middle - 1 - heightOf(minute.storedBytes)}
              height={heightOf(minute.storedBytes)}
            />
            <rect
              class="out"
              x={index * step + 1}
              width={step - 2}
              y={CHART.middle + 1}
              height={heightOf(minute.deliveredBytes)}
            />
          </g>
        ))}
      </svg>
    </section>
  )
}

function Online({ report: { receiversOnline } }: { readonly report: Operations }) {
  return (
    <section class="card" aria-label="Receivers online">
      <h2>Receivers online: {receiversOnline.length}</h2>
      {receiversOnline.length > 0 && (
        <ul class="people">
          {receiversOnline.map(({ account, since }) => (
            <li key={`${account} ${since}`} class="person" style={{ paddingInline: '12px' }}>
              {account} <span class="soft small">&nbsp;since {timeText(since)}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}

function Problems({ report: { problems } }: { readonly report: Operations }) {
  return (
    <section class="card" aria-label="Recent problems">
      <h2>Recent problems</h2>
      {problems.length === 0 ? (
        <p class="soft">None.</p>
      ) : (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls has to be reached by the keyboard
        <section class="scroll" tabIndex={0} aria-label="Table of problems">
          <table class="small">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">From</th>
                <th scope="col">To</th>
                <th scope="col">Problem</th>
              </tr>
            </thead>
            <tbody>
              {problems.map(({ at, transferId, from, receiver, code, title }) => (
                <tr key={`${transferId} ${at} ${receiver}`}>
                  <td>{timeText(at)}</td>
                  <td>{from}</td>
                  <td>{receiver ?? ''}</td>
                  <td>
                    {title} <span class="code soft">{code}</span>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  )
}
