/**
 * The searchable list of sent and received files. The names are sealed, so the page searches them and the portal
 * cannot.
 */

import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { calledOf, peopleText } from '../model/called.ts'
import type { HistoryLine, Member } from '../model/types.ts'
import { HopPicture } from './hop-picture.tsx'
import { Purpose } from './purpose.tsx'
import { detailHash } from './route.ts'
import { Size } from './size.tsx'
import { timeText } from './words.ts'

type Kind = 'all' | 'sent' | 'received' | 'bad'

const kinds: readonly (readonly [Kind, string])[] = [
  ['all', 'All'],
  ['sent', 'Sent'],
  ['received', 'Received'],
  ['bad', 'Failed'],
]

export function HistoryView({ member }: { readonly member: Member }) {
  const { history, account, connection } = member
  const words = useSignal('')
  const kind = useSignal<Kind>('all')
  const isSilent = useSignal(false)
  const isConnected = connection.value === 'connected'
  const load = (act: () => Promise<void>): void => {
    act().then(
      () => (isSilent.value = false),
      () => (isSilent.value = true),
    )
  }
  // The list reloads as soon as the portal answers again.
  useEffect(() => {
    if (isConnected || history.lines.value.length === 0) load(() => history.load())
  }, [history, isConnected])
  const lines = history.lines.value.filter((line) => isOfKind(line, kind.value) && matches(line, words.value))
  return (
    <>
      <h1 class="unseen">History</h1>
      <div class="row">
        <div style={{ flex: '1 1 220px' }}>
          <label class="unseen" for="search">
            Search by name of file or account, or by transfer
          </label>
          <input
            id="search"
            type="search"
            placeholder="Search names, accounts, transfers"
            value={words.value}
            onInput={(event) => {
              words.value = event.currentTarget.value
            }}
          />
        </div>
        <fieldset class="people" style={{ border: 0, padding: 0, margin: 0 }}>
          <legend class="unseen">Show</legend>
          {kinds.map(([name, title]) => (
            <button
              key={name}
              type="button"
              class={kind.value === name ? 'slim main' : 'slim'}
              aria-pressed={kind.value === name}
              onClick={() => {
                kind.value = name
              }}
            >
              {title}
            </button>
          ))}
        </fieldset>
      </div>
      <ul class="list" style={{ marginTop: '12px' }}>
        {lines.map((line) => (
          <li key={`${line.isOwn} ${line.transferId}`}>
            <Line line={line} own={account} />
          </li>
        ))}
      </ul>
      <p class="soft" style={{ padding: '16px 4px' }} role="status">
        {isSilent.value
          ? 'The portal does not answer. The list reloads when it does.'
          : endText(lines.length, history.isLoading.value, words.value !== '' || kind.value !== 'all')}
      </p>
      {history.hasMore.value && (
        <button type="button" disabled={history.isLoading.value} onClick={() => load(() => history.loadMore())}>
          Load more
        </button>
      )}
    </>
  )
}

function Line({ line, own }: { readonly line: HistoryLine; readonly own: string }) {
  const { transferId, isOwn, name, picture, sizeBytes, isSizeKnown, tree, createdAt } = line
  const { from, label, to, outcome, isBad } = line
  return (
    <a class="line" href={detailHash(transferId, isOwn)}>
      <span class="tiny">
        <HopPicture picture={picture} own={own} />
      </span>
      <span style={{ minWidth: 0 }}>
        <span class="name" style={{ display: 'block' }} title={name ?? undefined}>
          {name ?? <span class="soft">sealed name: this browser has no key for it</span>}
        </span>
        <span class="soft small">
          {isOwn ? `to ${peopleText(to, own)}` : `from ${calledOf(from, own)}`}
          <Purpose label={label} />
          {' · '}
          <Size sizeBytes={sizeBytes} tree={tree} />
          {!isSizeKnown && ' so far, size not known yet'}
        </span>
      </span>
      <span class="small" style={{ textAlign: 'end' }}>
        <span class={isBad ? 'problem' : ''} style={{ display: 'block' }}>
          {outcome}
        </span>
        <span class="soft">{timeText(createdAt)}</span>
      </span>
    </a>
  )
}

function isOfKind(line: HistoryLine, kind: Kind): boolean {
  switch (kind) {
    case 'all':
      return true
    case 'sent':
      return line.isOwn
    case 'received':
      return !line.isOwn
    case 'bad':
      return line.isBad
  }
}

/** Whether an item contains all of the words. */
function matches({ name, from, label, to, transferId, outcome }: HistoryLine, words: string): boolean {
  const text = [name ?? '', from, label ?? '', ...to, transferId, outcome].join(' ').toLowerCase()
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word))
}

function endText(count: number, isLoading: boolean, isFiltered: boolean): string {
  if (isLoading) return 'Loading…'
  if (count > 0) return ''
  return isFiltered ? 'No matches.' : 'Nothing sent or received yet.'
}
