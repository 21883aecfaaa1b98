/** The choice of receivers. It suggests known contacts and looks up other names at the portal. */
import { type Signal, useSignal } from '@preact/signals'
import { isAccountName, receiversPerTransferMax } from '../../protocol/index.ts'
import type { People } from '../model/types.ts'

/** A typed name that cannot receive, and why, in plain words. */
interface WrongName {
  readonly name: string
  readonly reason: string
}

export interface PeoplePickerProps {
  readonly people: People
  readonly own: string
  readonly chosen: Signal<readonly string[]>
  /** Typed text that is not added yet. */
  readonly text: Signal<string>
}

const OFFERED_MAX = 12

export function PeoplePicker({ people, own, chosen, text }: PeoplePickerProps) {
  const wrong = useSignal<readonly WrongName[]>([])
  const isAsking = useSignal(false)
  const offered = people.contacts.value
    .map(({ account }) => account)
    .filter((account) => account !== own && !chosen.value.includes(account))
    .slice(0, OFFERED_MAX)

  /**
   * Adds a name that the portal knows.
   *
   * @returns why the name is refused; null on success
   */
  const add = async (name: string): Promise<WrongName | null> => {
    if (chosen.value.includes(name)) return null
    const reason = await reasonAgainst(name, chosen.value.length, people)
    if (reason !== null) return { name, reason }
    chosen.value = [...chosen.value, name]
    return null
  }
  /** Adds every valid name. Invalid names stay in the field, so that the user notices before sending. */
  const addAll = async (names: readonly string[]): Promise<void> => {
    isAsking.value = true
    wrong.value = []
    try {
      const failures: WrongName[] = []
      for (const name of names) {
        const failure = await add(name)
        if (failure !== null) failures.push(failure)
      }
      wrong.value = failures
      text.value = failures.map(({ name }) => name).join(' ')
    } finally {
      isAsking.value = false
    }
  }
  /** Adds a suggested name. The typed text stays, unless it is the beginning of that name. */
  const choose = async (name: string): Promise<void> => {
    const failure = await add(name)
    if (failure !== null) wrong.value = [...wrong.value, failure]
    else if (name.startsWith(text.value.trim().toLowerCase())) {
      text.value = ''
      wrong.value = []
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    void addAll(namesIn(text.value))
  }
  /** Leaving the field adds the typed name, like "Add". */
  const leave = (event: FocusEvent & { readonly currentTarget: HTMLFormElement }): void => {
    const isInside = event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget)
    // The user switched to another window and will come back.
    const isDone = !isInside && document.hasFocus()
    if (isDone && text.value.trim() !== '' && wrong.value.length === 0 && !isAsking.value) submit(event)
  }
  return (
    <form class="stack" style={{ gap: '8px' }} onSubmit={submit} onFocusOut={leave}>
      <label for="to">
        <strong>To</strong>
      </label>
      {chosen.value.length > 0 && (
        <ul class="people">
          {chosen.value.map((name) => (
            <li key={name} class="person">
              {name}
              <button
                type="button"
                class="plain slim"
                aria-label={`Remove ${name}`}
                onClick={() => {
                  chosen.value = chosen.value.filter((other) => other !== name)
                }}
              >
                ✕
              </button>
            </li>
          ))}
        </ul>
      )}
      <div class="row" style={{ flexWrap: 'nowrap' }}>
        <input
          id="to"
          type="text"
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          placeholder="Name of an account"
          aria-describedby="to-wrong"
          aria-invalid={wrong.value.length > 0}
          readOnly={isAsking.value}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value
            wrong.value = []
          }}
        />
        <button type="submit" disabled={text.value.trim() === '' || isAsking.value}>
          Add
        </button>
      </div>
      <div id="to-wrong" class="problem" role="alert">
        {wrong.value.map(({ name, reason }) => (
          <p key={name}>{reason}</p>
        ))}
      </div>
      {offered.length > 0 && (
        <div class="people">
          {offered.map((name) => (
            <button key={name} type="button" class="slim" onClick={() => void choose(name)}>
              + {name}
            </button>
          ))}
        </div>
      )}
    </form>
  )
}

/** The names of a typed list, without duplicates. */
function namesIn(text: string): string[] {
  const names = text
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter(Boolean)
  return [...new Set(names)]
}

async function reasonAgainst(name: string, chosenCount: number, people: People): Promise<string | null> {
  if (!isAccountName(name)) return `"${name}" cannot be the name of an account.`
  if (chosenCount >= receiversPerTransferMax)
    return `${name}: a file goes to ${receiversPerTransferMax} receivers at most.`
  try {
    await people.find(name)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
