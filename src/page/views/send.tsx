/** Sending: the chosen files, their receivers, and the active transfers. */
import { type Signal, useSignal } from '@preact/signals'
import { listText, type ProblemJson, printable } from '../../protocol/index.ts'
import { adviceForSender } from '../model/advice.ts'
import { type Group, groupOfOutgoing, itemsText } from '../model/groups.ts'
import { problemOf } from '../model/problem-of.ts'
import type { LinkOptions, Member, Outgoing, ShownLink } from '../model/types.ts'
import { Chooser, pickedSizeOf } from './chooser.tsx'
import { FileList, type ListedFile } from './file-list.tsx'
import { LinkForm, usualExpiryMs } from './link-form.tsx'
import { OutgoingCard } from './outgoing-card.tsx'
import { PeoplePicker } from './people-picker.tsx'
import { ProblemText } from './problem.tsx'
import { detailHash } from './route.ts'
import type { Selection } from './selection.ts'
import { UnfinishedList } from './unfinished.tsx'

interface SendProps {
  readonly member: Member
  readonly selection: Selection
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

export function Send({ member, selection }: SendProps) {
  const { chosen } = selection
  const { outgoing, account } = member
  const to = useSignal<readonly string[]>([])
  const written = useSignal('')
  const isOpen = useSignal(false)
  const isSealed = !isOpen.value || outgoing.isSealedOnly.value
  const over = outgoing.files.value.filter(({ progress }) => OVER.includes(progress.value.phase))
  const again = over.filter((file) => file.canSendAgain && groupOfOutgoing(file.progress.value) === 'failed')
  const isWriting = written.value.trim() !== ''
  const canSend = chosen.value.length > 0 && to.value.length > 0 && !isWriting
  const guests = member.guests.value
  const link = useSignal<LinkOptions | null>(null)
  const isMaking = useSignal(false)
  const linkProblem = useSignal<ProblemJson | null>(null)
  const makeLink = async (options: LinkOptions): Promise<void> => {
    if (guests === null) return
    isMaking.value = true
    linkProblem.value = null
    try {
      const files = chosen.value
      await guests.send(files, options)
      chosen.value = chosen.value.filter((one) => !files.includes(one))
      link.value = null
    } catch (error) {
      linkProblem.value = problemOf(error)
    } finally {
      isMaking.value = false
    }
  }
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
        <Chooser selection={selection} hint="Then choose the receivers. They need not be online." />
        {chosen.value.length > 0 && (
          <section class="card" aria-label="To be sent" data-focus-next="underway">
            {guests !== null && link.value !== null ? (
              <ByLink
                count={itemsText(chosen.value.map(pickedSizeOf))}
                isOne={chosen.value.length === 1}
                expiryMsMax={guests.expiryMsMax}
                options={link as Signal<LinkOptions>}
                isMaking={isMaking.value}
                make={(options) => void makeLink(options)}
                back={() => {
                  link.value = null
                }}
              />
            ) : (
              <>
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
                    Send {chosen.value.length === 1 ? 'it' : itemsText(chosen.value.map(pickedSizeOf))}
                    {to.value.length > 0 && ` to ${listText(to.value)}`}
                  </button>
                  {isWriting && <span class="soft small">Add the name first, or delete it.</span>}
                  {!isWriting && to.value.length === 0 && <span class="soft small">Choose a receiver first.</span>}
                </div>
                {guests !== null && (
                  <p class="row">
                    <button
                      type="button"
                      class="slim"
                      onClick={() => {
                        link.value = { takes: 1, expiryMs: usualExpiryMs(guests.expiryMsMax), passphrase: null }
                      }}
                    >
                      Make a link…
                    </button>
                    <span class="soft small">for people without an account</span>
                  </p>
                )}
              </>
            )}
            {linkProblem.value !== null && (
              <div role="alert">
                <ProblemText problem={linkProblem.value} advice={adviceForSender(linkProblem.value, null)} />
              </div>
            )}
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
          <FileList
            files={outgoing.files.value.map((file) => listed(file, account, guests?.links.value ?? null))}
            words={groupWords}
          />
        </section>
      )}
    </>
  )
}

interface ByLinkProps {
  readonly count: string
  readonly isOne: boolean
  readonly expiryMsMax: number
  readonly options: Signal<LinkOptions>
  readonly isMaking: boolean
  readonly make: (options: LinkOptions) => void
  readonly back: () => void
}

/** A link takes the place of receivers. */
function ByLink({ count, isOne, expiryMsMax, options, isMaking, make, back }: ByLinkProps) {
  return (
    <>
      <LinkForm expiryMsMax={expiryMsMax} options={options} />
      <div class="row">
        <button type="button" class="main" disabled={isMaking} onClick={() => make(options.value)}>
          {isMaking ? 'Making it…' : isOne ? 'Make the link' : `Make a link for each of ${count}`}
        </button>
        <button type="button" class="plain" onClick={back}>
          Choose receivers instead
        </button>
      </div>
    </>
  )
}

function listed(file: Outgoing, own: string, links: ReadonlyMap<string, ShownLink> | null): ListedFile {
  const transferId = file.transferId.value
  return {
    key: file.key,
    group: groupOfOutgoing(file.progress.value),
    name: printable(file.name),
    sizeBytes: file.sizeBytes,
    tree: file.tree,
    href: transferId === null ? null : detailHash(transferId, true),
    card: () => <OutgoingCard file={file} own={own} link={links?.get(file.to[0] ?? '') ?? null} />,
  }
}

function sendAgain(files: readonly Outgoing[]): void {
  for (const file of files) file.sendAgain()
}

function dismiss(files: readonly Outgoing[]): void {
  for (const file of files) file.dismiss()
}
