/**
 * The files of one direction. A short list shows a card for each file. A long list shows totals, cards for files that
 * need the user, are active or failed, and folded lines for the rest.
 */
import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { type Group, groups, totalText } from '../model/groups.ts'
import { Size, type SizeProps } from './size.tsx'

export interface ListedFile extends SizeProps {
  readonly key: string | number
  readonly group: Group
  /** Safe to show. */
  readonly name: string
  /** The address of the detail view; null where there is none yet. */
  readonly href: string | null
  card(): ComponentChildren
}

export interface FileListProps {
  readonly files: readonly ListedFile[]
  readonly words: Readonly<Record<Group, string>>
}

/** The largest number of files that each get a card. */
const CARDS_MAX = 8
const GROUP_CARDS_MAX = 10
const GROUP_LINES_MAX = 200
const isFolded: Readonly<Record<Group, boolean>> = {
  asking: false,
  moving: false,
  failed: false,
  waiting: true,
  stored: true,
  over: true,
}

export function FileList({ files, words }: FileListProps) {
  if (files.length <= CARDS_MAX) return <Cards files={files} />
  const overCount = files.filter(({ group }) => group === 'over').length
  const shown = groups
    .map((group) => ({ group, members: files.filter((file) => file.group === group) }))
    .filter(({ members }) => members.length > 0)
  return (
    <div class="stack">
      <div class="card" data-total>
        <p>{totalText(files, words)}</p>
        <div class="meter" aria-hidden="true">
          <div style={{ width: `${(100 * overCount) / files.length}%` }} />
        </div>
      </div>
      {shown.map(({ group, members }) =>
        isFolded[group] ? (
          <Folded key={group} title={`${members.length} ${words[group]}`} files={members} />
        ) : (
          <Open key={group} title={`${members.length} ${words[group]}`} files={members} />
        ),
      )}
    </div>
  )
}

function Cards({ files }: { readonly files: readonly ListedFile[] }) {
  return (
    <ul class="stack">
      {files.map((file) => (
        <li key={file.key}>{file.card()}</li>
      ))}
    </ul>
  )
}

interface GroupProps {
  readonly title: string
  readonly files: readonly ListedFile[]
}

function Open({ title, files }: GroupProps) {
  const rest = files.slice(GROUP_CARDS_MAX)
  return (
    <section class="stack">
      <h3>{title}</h3>
      <Cards files={files.slice(0, GROUP_CARDS_MAX)} />
      {rest.length > 0 && <Folded title={`and ${rest.length} more`} files={rest} />}
    </section>
  )
}

/** The lines are rendered when the user unfolds them. */
function Folded({ title, files }: GroupProps) {
  const isOpen = useSignal(false)
  return (
    <details
      class="card"
      onToggle={(event) => {
        isOpen.value = event.currentTarget.open
      }}
    >
      <summary>{title}</summary>
      {isOpen.value && (
        <ul class="chosen lines">
          {files.slice(0, GROUP_LINES_MAX).map((file) => (
            <li key={file.key}>
              <span class="name" title={file.name}>
                {file.href === null ? file.name : <a href={file.href}>{file.name}</a>}
              </span>
              <span class="soft small size push">
                <Size sizeBytes={file.sizeBytes} tree={file.tree} />
              </span>
            </li>
          ))}
        </ul>
      )}
      {files.length > GROUP_LINES_MAX && <p class="soft small">The history has all of them.</p>}
    </details>
  )
}
