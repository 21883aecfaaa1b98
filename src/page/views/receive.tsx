/** Receiving: the offers, the incoming files, and their destination. */
import { type Group, groupOfIncoming, totalBytesText } from '../model/groups.ts'
import type { Incoming, IncomingFiles, Member } from '../model/types.ts'
import { FileList, type ListedFile } from './file-list.tsx'
import { IncomingCard } from './incoming-card.tsx'
import { Requests } from './requests.tsx'
import { detailHash } from './route.ts'

const groupWords: Readonly<Record<Group, string>> = {
  asking: 'waiting for you',
  moving: 'being received',
  failed: 'not received',
  waiting: 'queued',
  stored: 'stored at the portal',
  over: 'received or declined',
}
const OVER: readonly string[] = ['received', 'declined', 'withdrawn']

export function Receive({ member }: { readonly member: Member }) {
  const { incoming, account } = member
  const files = incoming.files.value
  const asking = files.filter(({ progress }) => progress.value.phase === 'asking')
  const askingText = totalBytesText(asking.map(sizeOf))
  const kept = files.filter(({ progress: { value } }) => value.phase === 'received' && value.keptHere)
  const over = files.filter((file) => OVER.includes(file.progress.value.phase) && !kept.includes(file))
  return (
    <>
      <h1 class="unseen">Receive</h1>
      <div class="stack">
        <Places incoming={incoming} />
        {kept.length > 0 && <KeptHere files={kept} />}
      </div>
      <section aria-labelledby="inbox">
        <div class="section-head">
          <h2 id="inbox">Inbox</h2>
          {asking.length > 1 && (
            <button type="button" class="slim push" onClick={() => incoming.acceptAll()}>
              Accept all {asking.length} ({askingText})
            </button>
          )}
          {over.length > 1 && (
            <button
              type="button"
              class={`plain slim ${asking.length > 1 ? '' : 'push'}`}
              onClick={() => dismissAll(over)}
            >
              Clear {over.length} finished
            </button>
          )}
        </div>
        {files.length === 0 && (
          <p class="drop soft">Nothing is waiting. What others send to “{account}” shows up here by itself.</p>
        )}
        <FileList files={files.map((file) => listed(file, account))} words={groupWords} />
      </section>
      {member.guests.value !== null && <Requests guests={member.guests.value} version={files.length} />}
    </>
  )
}

function sizeOf({ sizeBytes, tree }: Incoming) {
  return { sizeBytes: sizeBytes.value, tree: tree.value }
}

function dismissAll(files: readonly Incoming[]): void {
  for (const file of files) file.dismiss()
}

function listed(file: Incoming, own: string): ListedFile {
  return {
    key: file.transferId,
    group: groupOfIncoming(file.progress.value),
    name: file.name.value,
    sizeBytes: file.sizeBytes.value,
    tree: file.tree.value,
    href: detailHash(file.transferId, false),
    card: () => <IncomingCard file={file} own={own} />,
  }
}

/** Browsers do not report whether a download succeeded, so a file stays here until its owner removes it. */
function KeptHere({ files }: { readonly files: readonly Incoming[] }) {
  const bytes = totalBytesText(files.map(sizeOf))
  const [first] = files
  const isOne = files.length === 1
  return (
    <section class="card" aria-label="Kept in this browser" data-focus-next="inbox">
      <p>
        {isOne ? <strong>{first?.name.value}</strong> : <strong>{files.length} files</strong>} ({bytes})
        {isOne ? ' is' : ' are'} still kept in this browser. Check{' '}
        {isOne ? 'the download before you remove it' : 'the downloads before you remove them'} here.
      </p>
      <div class="row small">
        <button type="button" class="slim" onClick={() => saveAll(files)}>
          {isOne ? 'Save again' : `Save all ${files.length} again`}
        </button>
        <button type="button" class="slim" onClick={() => removeAll(files)}>
          {isOne ? 'I have it, remove it here' : `I have all ${files.length}, remove them here`}
        </button>
      </div>
      {!isOne && (
        <details>
          <summary>Each file</summary>
          <ul class="chosen lines">
            {files.map((file) => (
              <li key={file.transferId}>
                <span class="name">{file.name.value}</span>
                <button type="button" class="slim push" onClick={() => saveAll([file])}>
                  Save again<span class="unseen"> {file.name.value}</span>
                </button>
                <button type="button" class="slim" onClick={() => removeAll([file])}>
                  Remove<span class="unseen"> {file.name.value}</span>
                </button>
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  )
}

function saveAll(files: readonly Incoming[]): void {
  for (const file of files) void file.save()
}

function removeAll(files: readonly Incoming[]): void {
  for (const file of files) void file.remove()
}

function Places({ incoming }: { readonly incoming: IncomingFiles }) {
  const { folder, isAutomatic, canChooseFolder } = incoming
  return (
    <section class="card" aria-label="How files are received">
      <label class="check">
        <input
          type="checkbox"
          checked={isAutomatic.value}
          onChange={(event) => incoming.setAutomatic(event.currentTarget.checked)}
        />
        <span>Accept all files automatically while this page is open</span>
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
