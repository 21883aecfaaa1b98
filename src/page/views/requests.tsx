/** Requests for files from people who have no account. */
import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { bytesText, labelLengthMax, type ProblemJson, printable, requestFilesMax } from '../../protocol/index.ts'
import { adviceForSender } from '../model/advice.ts'
import { filesText } from '../model/groups.ts'
import { problemOf } from '../model/problem-of.ts'
import type { GuestLinks, ShownRequest } from '../model/types.ts'
import { ExpirySelect, LinkText, NumberField, usualExpiryMs } from './link-form.tsx'
import { ProblemText } from './problem.tsx'
import { timeText } from './words.ts'

const GIB = 1024 ** 3
const SIZES_BYTES = [GIB / 10, GIB, 10 * GIB, 100 * GIB] as const
const FILES_USUAL = 100

export function Requests({ guests, version }: { readonly guests: GuestLinks; readonly version: unknown }) {
  const { requests } = guests.requests
  const problem = useSignal<ProblemJson | null>(null)
  const attempt = (act: () => Promise<void>): Promise<void> => {
    problem.value = null
    return act().catch((error: unknown) => {
      problem.value = problemOf(error)
    })
  }
  // The counts change with each file that comes.
  useEffect(() => void attempt(() => guests.requests.load()), [guests, version])
  const open = requests.value.filter(({ state }) => state === 'open')
  return (
    <section aria-labelledby="requests">
      <div class="section-head">
        <h2 id="requests">Ask for files</h2>
      </div>
      <div class="stack">
        <RequestForm guests={guests} attempt={attempt} />
        {problem.value !== null && (
          <div role="alert">
            <ProblemText problem={problem.value} advice={adviceForSender(problem.value, null)} />
          </div>
        )}
        {open.length > 0 && (
          <ul class="stack" aria-label="Open requests">
            {open.map((request) => (
              <li key={request.requestId}>
                <RequestCard
                  request={request}
                  close={() => void attempt(() => guests.requests.close(request.requestId))}
                />
              </li>
            ))}
          </ul>
        )}
      </div>
    </section>
  )
}

interface RequestFormProps {
  readonly guests: GuestLinks
  readonly attempt: (act: () => Promise<void>) => Promise<void>
}

function RequestForm({ guests, attempt }: RequestFormProps) {
  const { expiryMsMax } = guests
  const label = useSignal('')
  const expiryMs = useSignal(usualExpiryMs(expiryMsMax))
  const filesMax = useSignal(FILES_USUAL)
  const bytesMax = useSignal(10 * GIB)
  const isMaking = useSignal(false)
  const make = (event: Event): void => {
    event.preventDefault()
    if (isMaking.value) return
    isMaking.value = true
    const options = {
      label: label.value,
      expiryMs: expiryMs.value,
      filesMax: filesMax.value,
      bytesMax: bytesMax.value,
    }
    void attempt(async () => {
      await guests.makeRequest(options)
      label.value = ''
    }).finally(() => {
      isMaking.value = false
    })
  }
  return (
    <form class="card" onSubmit={make}>
      <label for="request-label">People without an account can send you files by a link. What do you ask for?</label>
      <div class="row">
        <input
          id="request-label"
          style={{ flex: '1 1 200px', width: 'auto' }}
          type="text"
          autocomplete="off"
          maxLength={labelLengthMax}
          placeholder="Tax papers of 2026"
          value={label.value}
          onInput={(event) => {
            label.value = event.currentTarget.value
          }}
        />
        <button type="submit" disabled={isMaking.value}>
          {isMaking.value ? 'Making…' : 'Make the link'}
        </button>
      </div>
      <details>
        <summary>More</summary>
        <div class="stack" style={{ gap: '10px', marginTop: '8px' }}>
          <ExpirySelect
            id="request-expiry"
            expiryMsMax={expiryMsMax}
            value={expiryMs.value}
            onChange={(ms) => {
              expiryMs.value = ms
            }}
          />
          <NumberField
            id="request-files"
            label="Files at most"
            max={requestFilesMax}
            value={filesMax.value}
            onChange={(count) => {
              filesMax.value = count
            }}
          />
          <label for="request-bytes">
            All together at most{' '}
            <select
              id="request-bytes"
              value={bytesMax.value}
              onChange={(event) => {
                bytesMax.value = Number(event.currentTarget.value)
              }}
            >
              {SIZES_BYTES.map((bytes) => (
                <option key={bytes} value={Math.floor(bytes)}>
                  {bytesText(Math.floor(bytes))}
                </option>
              ))}
            </select>
          </label>
        </div>
      </details>
    </form>
  )
}

function RequestCard({ request, close }: { readonly request: ShownRequest; readonly close: () => void }) {
  const { label, link, expiresAt, files, bytes, filesMax, bytesMax } = request
  const name = label === null ? `Request until ${timeText(expiresAt)}` : printable(label)
  return (
    <article class="card" aria-label={name}>
      <div class="title">
        <span class="name">{name}</span>
        <span class="soft small size">open until {timeText(expiresAt)}</span>
      </div>
      {link === null ? (
        <p class="soft">Its link is where the request was made, in another browser or on another machine.</p>
      ) : (
        <LinkText text={link} label={`The link of ${name}`} />
      )}
      <p>
        {files === 0 ? 'Nothing has come yet' : `${filesText(files)} so far, ${bytesText(bytes)}`}
        <span class="soft">
          {' '}
          · at most {filesText(filesMax)}, {bytesText(bytesMax)}
        </span>
      </p>
      <div class="row small">
        <button type="button" class="slim" onClick={close}>
          Close<span class="unseen"> {name}</span>
        </button>
        <span class="soft">Closed, it takes no more files. Those that are at the portal still come.</span>
      </div>
    </article>
  )
}
