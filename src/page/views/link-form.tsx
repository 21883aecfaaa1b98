/** The options of a link, and a link to pass on. */
import type { Signal } from '@preact/signals'
import { receiversPerTransferMax } from '../../protocol/index.ts'
import type { LinkOptions, ShownLink } from '../model/types.ts'
import { CopyButton } from './copy-button.tsx'
import { roundDurationText, timeText } from './words.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const EXPIRIES_MS = [HOUR_MS, DAY_MS, 2 * DAY_MS, 7 * DAY_MS, 30 * DAY_MS] as const

/** What a person usually wants. */
export function usualExpiryMs(expiryMsMax: number): number {
  return Math.min(7 * DAY_MS, expiryMsMax)
}

interface ExpirySelectProps {
  readonly id: string
  readonly expiryMsMax: number
  readonly value: number
  readonly onChange: (expiryMs: number) => void
}

export function ExpirySelect({ id, expiryMsMax, value, onChange }: ExpirySelectProps) {
  const possible = new Set([...EXPIRIES_MS.filter((ms) => ms < expiryMsMax), value, expiryMsMax])
  return (
    <label for={id}>
      The link works for{' '}
      <select id={id} value={value} onChange={(event) => onChange(Number(event.currentTarget.value))}>
        {[...possible]
          .sort((one, other) => one - other)
          .map((ms) => (
            <option key={ms} value={ms}>
              {roundDurationText(ms)}
            </option>
          ))}
      </select>
    </label>
  )
}

interface NumberFieldProps {
  readonly id: string
  readonly label: string
  readonly max: number
  readonly value: number
  /** Called with whole numbers from 1 to `max` only. */
  readonly onChange: (count: number) => void
}

export function NumberField({ id, label, max, value, onChange }: NumberFieldProps) {
  return (
    <label for={id}>
      {label}{' '}
      <input
        id={id}
        type="number"
        min={1}
        max={max}
        value={value}
        onInput={(event) => {
          const count = Math.floor(event.currentTarget.valueAsNumber)
          if (count >= 1 && count <= max) onChange(count)
        }}
      />
    </label>
  )
}

export interface LinkFormProps {
  readonly expiryMsMax: number
  readonly options: Signal<LinkOptions>
}

export function LinkForm({ expiryMsMax, options }: LinkFormProps) {
  const now = options.value
  const change = (changed: Partial<LinkOptions>): void => {
    options.value = { ...now, ...changed }
  }
  return (
    <>
      <p>
        {now.takes === 1 ? 'One person' : `${now.takes} people, each once,`} can receive it with the link, in a browser
        and without an account. You get both notifications and a receipt as always: the receipt says that a person with
        the link has the file.
      </p>
      <details>
        <summary>More</summary>
        <div class="stack" style={{ gap: '10px', marginTop: '8px' }}>
          <ExpirySelect
            id="link-expiry"
            expiryMsMax={expiryMsMax}
            value={now.expiryMs}
            onChange={(expiryMs) => change({ expiryMs })}
          />
          <NumberField
            id="link-takes"
            label="For how many people"
            max={receiversPerTransferMax}
            value={now.takes}
            onChange={(takes) => change({ takes })}
          />
          <label for="link-passphrase">A passphrase, which you tell them by another way than the link</label>
          <input
            id="link-passphrase"
            type="text"
            autocomplete="off"
            autocapitalize="none"
            spellcheck={false}
            placeholder="None"
            value={now.passphrase ?? ''}
            onInput={({ currentTarget: { value } }) => change({ passphrase: value === '' ? null : value })}
          />
        </div>
      </details>
    </>
  )
}

/** A link that can be passed on. */
export function LinkBox({ link, label }: { readonly link: ShownLink; readonly label: string }) {
  const works = link.takes === 1 ? 'It works once' : `It works for ${link.takes} people, each once`
  return (
    <div class="stack" style={{ gap: '6px' }}>
      <LinkText text={link.text} label={label} />
      <p class="soft small">
        {works}, until {timeText(link.expiresAt)}.{' '}
        {link.hasPassphrase
          ? 'Tell the passphrase by another way than the link.'
          : 'People who have the link can receive the file: pass it on by a way that you trust.'}
      </p>
    </div>
  )
}

/** The text of a link, which can be selected as a whole. */
export function LinkText({ text, label }: { readonly text: string; readonly label: string }) {
  return (
    <div class="row" style={{ flexWrap: 'nowrap' }}>
      <input
        type="text"
        class="code"
        readOnly
        aria-label={label}
        value={text}
        onFocus={(event) => event.currentTarget.select()}
      />
      <CopyButton text={text} />
    </div>
  )
}
