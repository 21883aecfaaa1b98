/** The choice of what to send. */
import { useRef } from 'preact/hooks'
import { printable, type TreeSize } from '../../protocol/index.ts'
import { itemsText, totalBytesText } from '../model/groups.ts'
import { type Picked, PickedFolder } from '../platform/picked-folder.ts'
import { hasFolderDialogue, pickedOfInput, pickFolder } from '../platform/picking.ts'
import { ProblemText } from './problem.tsx'
import type { Selection } from './selection.ts'
import { Size } from './size.tsx'

/** Touch devices have no drag and drop. */
function canDrop(): boolean {
  return matchMedia('(any-hover: hover) and (any-pointer: fine)').matches
}

/** The size of something that the user dropped or chose. */
export function pickedSizeOf(picked: Picked): { readonly sizeBytes: number; readonly tree: TreeSize | null } {
  return picked instanceof PickedFolder
    ? { sizeBytes: picked.index.sizeBytes, tree: picked.size }
    : { sizeBytes: picked.size, tree: null }
}

/** Takes the files of an input out of it. The reset lets the user choose the same ones again. */
export function takeFiles(input: HTMLInputElement): File[] {
  const files = [...(input.files ?? [])]
  input.value = ''
  return files
}

export interface ChooserProps {
  readonly selection: Selection
  /** What follows the choice. */
  readonly hint: string
}

/** Lets the user choose files and folders to send. */
export function Chooser({ selection, hint }: ChooserProps) {
  const { chosen, unreadable, isReading, add } = selection
  const files = useRef<HTMLInputElement>(null)
  const folder = useRef<HTMLInputElement>(null)
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
          <p class="soft">{hint}</p>
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
      <p class="soft" role="status">
        {isReading && 'Reading the folder…'}
      </p>
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

function ChosenList({ chosen }: Pick<Selection, 'chosen'>) {
  const all = chosen.value
  const sizes = all.map(pickedSizeOf)
  return (
    <div class="stack" style={{ width: '100%', textAlign: 'start' }}>
      <ul class="chosen">
        {all.slice(0, SHOWN_MAX).map((one, index) => (
          <li key={`${index} ${one.name}`}>
            <span class="name" title={printable(one.name)}>
              {printable(one.name)}
            </span>
            <span class="soft small size">
              <Size {...pickedSizeOf(one)} />
              {ignoredText(one)}
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
          {itemsText(sizes)}, {totalBytesText(sizes)}
        </p>
      )}
    </div>
  )
}

/** What the files `.golooaderignore` of a folder leave out is told, because nothing else shows it. */
function ignoredText(picked: Picked): string {
  if (!(picked instanceof PickedFolder) || picked.ignoredCount === 0) return ''
  return ` · ${picked.ignoredCount.toLocaleString('en')} left out by .golooaderignore`
}
