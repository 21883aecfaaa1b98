/** Who is to receive: names that this browser knows already are offered, others are asked for at the portal. */
import { type Signal, useSignal } from '@preact/signals'
import { isAccountName, receiversPerTransferMax } from '../../protocol/index.ts'
import type { People } from '../model/types.ts'

export interface PeoplePickerProps {
  readonly people: People
  readonly own: string
  readonly chosen: Signal<readonly string[]>
  /** What has been written, and not been added yet. */
  readonly text: Signal<string>
}

const OFFERED_MAX = 12

export function PeoplePicker({ people, own, chosen, text }: PeoplePickerProps) {
  const wrong = useSignal<string | null>(null)
  const isAsking = useSignal(false)
  const offered = people.contacts.value
    .map(({ account }) => account)
    .filter((account) => account !== own && !chosen.value.includes(account))
    .slice(0, OFFERED_MAX)

  const add = async (name: string): Promise<void> => {
    wrong.value = null
    if (chosen.value.includes(name)) return
    if (chosen.value.length >= receiversPerTransferMax) {
      wrong.value = `A file goes to ${receiversPerTransferMax} receivers at most.`
      return
    }
    isAsking.value = true
    try {
      await people.find(name)
      chosen.value = [...chosen.value, name]
      text.value = ''
    } catch (error) {
      wrong.value = error instanceof Error ? error.message : String(error)
    } finally {
      isAsking.value = false
    }
  }
  const submit = (event: Event): void => {
    event.preventDefault()
    const names = text.value
      .toLowerCase()
      .split(/[\s,;]+/)
      .filter(Boolean)
    const strange = names.find((name) => !isAccountName(name))
    if (strange !== undefined) wrong.value = `"${strange}" cannot be the name of an account.`
    else void names.reduce((last, name) => last.then(() => add(name)), Promise.resolve())
  }
  /** Whoever has written a name means it, also without "Add". */
  const leave = (event: FocusEvent & { readonly currentTarget: HTMLFormElement }): void => {
    const isInside = event.relatedTarget instanceof Node && event.currentTarget.contains(event.relatedTarget)
    // Whoever goes to another window comes back.
    const isDone = !isInside && document.hasFocus()
    if (isDone && text.value.trim() !== '' && wrong.value === null && !isAsking.value) submit(event)
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
                aria-label={`Not to ${name}`}
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
          aria-invalid={wrong.value !== null}
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value
            wrong.value = null
          }}
        />
        <button type="submit" disabled={text.value.trim() === '' || isAsking.value}>
          Add
        </button>
      </div>
      <p id="to-wrong" class="problem" role="alert">
        {wrong.value}
      </p>
      {offered.length > 0 && (
        <div class="people">
          {offered.map((name) => (
            <button key={name} type="button" class="slim" onClick={() => void add(name)}>
              + {name}
            </button>
          ))}
        </div>
      )}
    </form>
  )
}
