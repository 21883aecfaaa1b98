/** Sending: the chosen files, their receivers, and the active transfers. */
import { useSignal } from '@preact/signals'
import { useRef } from 'preact/hooks'
import { bytesText, listText, type ProblemJson, printable, type TreeSize } from '../../protocol/index.ts'
import { contentBytesOf, type Group, groupOfOutgoing, itemsText } from '../model/groups.ts'
import type { Picture } from '../model/hops.ts'
import { problemOf } from '../model/outgoing.ts'
import type { Member, Outgoing, Unfinished } from '../model/types.ts'
import { type Picked, PickedFolder } from '../platform/picked-folder.ts'
import { hasFolderDialogue, pickedOfInput, pickFolder } from '../platform/picking.ts'
import { FileList, type ListedFile } from './file-list.tsx'
import { HopPicture } from './hop-picture.tsx'
import { OutgoingCard } from './outgoing-card.tsx'
import { PeoplePicker } from './people-picker.tsx'
import { ProblemText } from './problem.tsx'
import { detailHash } from './route.ts'
import { Size } from './size.tsx'
import { timeText } from './words.ts'

interface SendProps {
  readonly member: Member
  readonly chosen: { value: readonly Picked[] }
  /** Why something that the user dropped or chose cannot be sent. */
  readonly unreadable: { value: ProblemJson | null }
}

const OVER: readonly string[] = ['ended', 'refused']
/** The group that waits for the user is always empty when sending. */
const groupWords: Readonly<Record<Group, string>> = {
  asking: 'waiting for you',
  moving: 'uploading',
  failed: 'failed',
  waiting: 'queued',
  stored: 'stored at the portal, waiting for receivers',
  over: 'delivered or cancelled',
}

export function Send({ member, chosen, unreadable }: SendProps) {
  const { outgoing, account } = member
  const to = useSignal<readonly string[]>([])
  const written = useSignal('')
  const isOpen = useSignal(false)
  const isSealed = !isOpen.value || outgoing.isSealedOnly.value
  const over = outgoing.files.value.filter(({ progress }) => OVER.includes(progress.value.phase))
  const again = over.filter((file) => file.canSendAgain && groupOfOutgoing(file.progress.value) === 'failed')
  const isWriting = written.value.trim() !== ''
  const canSend = chosen.value.length > 0 && to.value.length > 0 && !isWriting
  const send = (): void => {
    outgoing.send(chosen.value, to.value, { isSealed })
    chosen.value = []
    // The next files may have other receivers, so the form resets the receivers and the sealing choice.
    to.value = []
    isOpen.value = false
  }
  return (
    <>
      <h1 class="unseen">Send</h1>
      <div class="stack">
        <Chooser chosen={chosen} unreadable={unreadable} />
        {chosen.value.length > 0 && (
          <section class="card" aria-label="To be sent" data-focus-next="underway">
            <PeoplePicker people={member.people} own={account} chosen={to} text={written} />
            {!outgoing.isSealedOnly.value && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={isSealed}
                  onChange={(event) => {
                    isOpen.value = !event.currentTarget.checked
                  }}
                />
                <span>
                  {isSealed ? (
                    'Sealed: only the receivers can read it, the portal cannot'
                  ) : (
                    <strong class="problem">Not sealed: the portal can read it</strong>
                  )}
                </span>
              </label>
            )}
            <div class="row">
              <button type="button" class="main" disabled={!canSend} onClick={send}>
                Send {chosen.value.length === 1 ? 'it' : itemsText(chosen.value.map(contentOf))}
                {to.value.length > 0 && ` to ${listText(to.value)}`}
              </button>
              {isWriting && <span class="soft small">Add the name first, or delete it.</span>}
              {!isWriting && to.value.length === 0 && <span class="soft small">Choose a receiver first.</span>}
            </div>
          </section>
        )}
      </div>
      <UnfinishedList unfinished={outgoing.unfinished.value} own={account} />
      {outgoing.files.value.length > 0 && (
        <section aria-labelledby="underway">
          <div class="section-head">
            <h2 id="underway">{over.length < outgoing.files.value.length ? 'In progress' : 'Sent'}</h2>
            {again.length > 1 && (
              <button type="button" class="slim push" onClick={() => sendAgain(again)}>
                Send {again.length} failed files again
              </button>
            )}
            {over.length > 1 && (
              <button
                type="button"
                class={again.length > 1 ? 'plain slim' : 'plain slim push'}
                onClick={() => dismiss(over)}
              >
                Clear {over.length} finished
              </button>
            )}
          </div>
          <FileList files={outgoing.files.value.map((file) => listed(file, account))} words={groupWords} />
        </section>
      )}
    </>
  )
}

function listed(file: Outgoing, own: string): ListedFile {
  const transferId = file.transferId.value
  return {
    key: file.key,
    group: groupOfOutgoing(file.progress.value),
    name: printable(file.name),
    sizeBytes: file.sizeBytes,
    tree: file.tree,
    href: transferId === null ? null : detailHash(transferId, true),
    card: () => <OutgoingCard file={file} own={own} />,
  }
}

function sendAgain(files: readonly Outgoing[]): void {
  for (const file of files) file.sendAgain()
}

function dismiss(files: readonly Outgoing[]): void {
  for (const file of files) file.dismiss()
}

/** Touch devices have no drag and drop. */
function canDrop(): boolean {
  return matchMedia('(any-hover: hover) and (any-pointer: fine)').matches
}

/** The size of something that the user dropped or chose. */
function contentOf(picked: Picked): { readonly sizeBytes: number; readonly tree: TreeSize | null } {
  return picked instanceof PickedFolder
    ? { sizeBytes: picked.index.sizeBytes, tree: picked.size }
    : { sizeBytes: picked.size, tree: null }
}

/** Takes the files of an input out of it. The reset lets the user choose the same ones again. */
function takeFiles(input: HTMLInputElement): File[] {
  const files = [...(input.files ?? [])]
  input.value = ''
  return files
}

function Chooser({ chosen, unreadable }: Pick<SendProps, 'chosen' | 'unreadable'>) {
  const files = useRef<HTMLInputElement>(null)
  const folder = useRef<HTMLInputElement>(null)
  const add = (picking: Promise<readonly Picked[]>): void => {
    unreadable.value = null
    picking.then(
      (picked) => {
        chosen.value = [...chosen.value, ...picked]
      },
      (error: unknown) => {
        unreadable.value = problemOf(error)
      },
    )
  }
  const take = (event: { readonly currentTarget: HTMLInputElement }): void =>
    add(pickedOfInput(takeFiles(event.currentTarget)))
  const chooseFolder = (): void => {
    if (hasFolderDialogue()) add(pickFolder().then((one) => (one === null ? [] : [one])))
    else folder.current?.click()
  }
  return (
    <section class={chosen.value.length === 0 ? 'drop' : 'drop filled'} aria-label="Files to send">
      {chosen.value.length === 0 ? (
        <div key="empty">
          <p>
            <strong>{canDrop() ? 'Drop files or a folder anywhere on this page' : 'Choose what to send'}</strong>
          </p>
          <p class="soft">Then choose the receivers. They need not be online.</p>
        </div>
      ) : (
        <ChosenList key="chosen" chosen={chosen} />
      )}
      <div key="buttons" class="row">
        <button type="button" onClick={() => files.current?.click()}>
          {chosen.value.length === 0 ? 'Choose files…' : 'Add files…'}
        </button>
        <button type="button" onClick={chooseFolder}>
          {chosen.value.length === 0 ? 'Choose a folder…' : 'Add a folder…'}
        </button>
      </div>
      {unreadable.value !== null && (
        <div role="alert">
          <ProblemText problem={unreadable.value} advice={null} />
        </div>
      )}
      {/* The keys stop Preact from reusing one input for the other, which would keep the folder attributes. */}
      <input
        key="files"
        ref={files}
        class="unseen"
        type="file"
        multiple
        tabIndex={-1}
        aria-hidden="true"
        onChange={take}
        data-for="files"
      />
      <input
        key="folder"
        ref={(input) => {
          folder.current = input
          // Preact's types lack this attribute.
          if (input !== null) input.webkitdirectory = true
        }}
        class="unseen"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        onChange={take}
        data-for="folder"
      />
    </section>
  )
}

const SHOWN_MAX = 100

function ChosenList({ chosen }: Pick<SendProps, 'chosen'>) {
  const all = chosen.value
  const sizes = all.map(contentOf)
  return (
    <div class="stack" style={{ width: '100%', textAlign: 'start' }}>
      <ul class="chosen">
        {all.slice(0, SHOWN_MAX).map((one, index) => (
          <li key={`${index} ${one.name}`}>
            <span class="name" title={printable(one.name)}>
              {printable(one.name)}
            </span>
            <span class="soft small size">
              <Size {...contentOf(one)} />
            </span>
            <button
              type="button"
              class="plain slim push"
              aria-label={`Do not send ${printable(one.name)}`}
              onClick={() => {
                chosen.value = chosen.value.filter((other) => other !== one)
              }}
            >
              ✕
            </button>
          </li>
        ))}
      </ul>
      {all.length > 1 && (
        <p class="soft small">
          {all.length > SHOWN_MAX && `and ${all.length - SHOWN_MAX} more: `}
          {itemsText(sizes)}, {bytesText(contentBytesOf(sizes))}
        </p>
      )}
    </div>
  )
}

/**
 * Transfers of an earlier visit. A browser does not return the files to the page, so the user has to choose them again.
 */
function UnfinishedList({ unfinished, own }: { readonly unfinished: readonly Unfinished[]; readonly own: string }) {
  if (unfinished.length === 0) return null
  return (
    <section aria-labelledby="unfinished">
      <div class="section-head">
        <h2 id="unfinished">Unfinished</h2>
      </div>
      <ul class="stack">
        {unfinished.map((one) => (
          <li key={one.transferId}>
            <UnfinishedCard one={one} own={own} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function UnfinishedCard({ one, own }: { readonly one: Unfinished; readonly own: string }) {
  const input = useRef<HTMLInputElement>(null)
  const wrong = useSignal<string | null>(null)
  const kind = one.tree === null ? 'file' : 'folder'
  const resume = async (picking: Promise<readonly Picked[]>): Promise<void> => {
    try {
      const [picked] = await picking
      if (picked !== undefined) wrong.value = one.resume(picked)
    } catch (error) {
      const { title, detail = title } = problemOf(error)
      wrong.value = detail
    }
  }
  const choose = (): void => {
    if (one.tree !== null && hasFolderDialogue()) {
      void resume(pickFolder().then((folder) => (folder === null ? [] : [folder])))
    } else input.current?.click()
  }
  return (
    <div class="card">
      <div class="title">
        <span class="name">{printable(one.name)}</span>
        <span class="soft small size">
          <Size sizeBytes={one.sizeBytes} tree={one.tree} />
        </span>
      </div>
      <HopPicture picture={begunPicture(one, own)} own={own} />
      <p>
        Started {timeText(one.createdAt)}, to {listText(one.to)}. Choose the same {kind} again to resume.
      </p>
      <p class="problem" role="alert">
        {wrong.value}
      </p>
      <div class="row">
        <button type="button" onClick={choose}>
          Choose the {kind}…
        </button>
        <button type="button" class="plain" onClick={() => void one.forget()}>
          Cancel<span class="unseen"> {printable(one.name)}</span>
        </button>
      </div>
      <input
        ref={(element) => {
          input.current = element
          if (element !== null) element.webkitdirectory = one.tree !== null
        }}
        class="unseen"
        type="file"
        tabIndex={-1}
        aria-hidden="true"
        data-for={one.transferId}
        onChange={(event) => void resume(pickedOfInput(takeFiles(event.currentTarget)))}
      />
    </div>
  )
}

function begunPicture({ to, sizeBytes }: Unfinished, own: string): Picture {
  return {
    sender: own,
    first: { state: 'held', doneBytes: 0, sizeBytes },
    second: to.map((receiver) => ({ receiver, hop: { state: 'ahead' } })),
  }
}
