/** Receiving: what is offered, what is coming in, and where it goes. */
import { bytesText } from '../../protocol/index.ts'
import type { Incoming, IncomingFiles, Member } from '../model/types.ts'
import { IncomingCard } from './incoming-card.tsx'

const OVER: readonly string[] = ['received', 'declined', 'withdrawn']

export function Receive({ member }: { readonly member: Member }) {
  const { incoming, account } = member
  const files = incoming.files.value
  const asking = files.filter(({ progress }) => progress.value.phase === 'asking')
  const askingBytes = asking.reduce((sum, { sizeBytes }) => sum + sizeBytes.value, 0)
  const kept = files.filter(({ progress: { value } }) => value.phase === 'received' && value.keptHere)
  const over = files.filter((file) => OVER.includes(file.progress.value.phase) && !kept.includes(file))
  return (
    <>
      <h1 class="unseen">Receive</h1>
      <Places incoming={incoming} />
      <section aria-labelledby="inbox">
        <div class="section-head">
          <h2 id="inbox">Inbox</h2>
          {asking.length > 1 && (
            <button type="button" class="slim push" onClick={() => incoming.acceptAll()}>
              Accept all {asking.length} ({bytesText(askingBytes)})
            </button>
          )}
          {kept.length > 1 && (
            <button type="button" class={`slim ${asking.length > 1 ? '' : 'push'}`} onClick={() => removeAll(kept)}>
              I have all {kept.length}, remove them here
            </button>
          )}
          {over.length > 1 && (
            <button
              type="button"
              class={`plain slim ${asking.length > 1 || kept.length > 1 ? '' : 'push'}`}
              onClick={() => dismissAll(over)}
            >
              Clear all {over.length} that are over
            </button>
          )}
        </div>
        {files.length === 0 && (
          <p class="drop soft">Nothing is waiting. What others send to “{account}” shows up here by itself.</p>
        )}
        <ul class="stack">
          {files.map((file) => (
            <li key={file.transferId}>
              <IncomingCard file={file} own={account} />
            </li>
          ))}
        </ul>
      </section>
    </>
  )
}

function dismissAll(files: readonly Incoming[]): void {
  for (const file of files) file.dismiss()
}

function removeAll(files: readonly Incoming[]): void {
  for (const file of files) void file.remove().then(() => file.trouble.value === null && file.dismiss())
}

function Places({ incoming }: { readonly incoming: IncomingFiles }) {
  const { folder, isAutomatic, canChooseFolder } = incoming
  return (
    <section class="card" aria-label="How files are taken">
      <label class="check">
        <input
          type="checkbox"
          checked={isAutomatic.value}
          onChange={(event) => incoming.setAutomatic(event.currentTarget.checked)}
        />
        <span>Accept everything by itself while this page is open</span>
      </label>
      <div class="row">
        <span>
          {folder.value === null ? (
            <>
              Files go to the <strong>downloads</strong> of this browser.
            </>
          ) : (
            <>
              Files go into the folder <strong>{folder.value}</strong>.
            </>
          )}
        </span>
        {canChooseFolder && (
          <button type="button" class="slim push" onClick={() => void incoming.chooseFolder()}>
            {folder.value === null ? 'Choose a folder…' : 'Another folder…'}
          </button>
        )}
        {folder.value !== null && (
          <button type="button" class="plain slim" onClick={() => void incoming.forgetFolder()}>
            Use downloads
          </button>
        )}
      </div>
    </section>
  )
}
