/** The account of this browser, and its contacts. */
import { useSignal } from '@preact/signals'
import { parseFingerprint } from '../../protocol/index.ts'
import type { Member, People } from '../model/types.ts'
import { CopyButton } from './copy-button.tsx'
import { FingerprintPicture } from './fingerprint.tsx'
import { Shortcomings } from './plain.tsx'

export function IdentityView({ member }: { readonly member: Member }) {
  const { account, fingerprint, people, portalUrl } = member
  return (
    <div class="stack">
      <h1>You are {account}</h1>
      <section class="card" aria-label="Your fingerprint">
        <div class="row" style={{ flexWrap: 'nowrap', gap: '18px' }}>
          <FingerprintPicture fingerprint={fingerprint} />
          <div>
            <p class="soft small">Your fingerprint</p>
            <p class="code" style={{ fontSize: '1.0625rem' }} data-fingerprint>
              {fingerprint}
            </p>
            <CopyButton text={fingerprint} />
          </div>
        </div>
        <p class="soft">
          Read it to others by phone, or show it. People who have compared it can be sure that files from you are yours,
          even if the portal lies. Your keys are in this browser only. The portal is{' '}
          <span class="code">{portalUrl}</span>.
        </p>
        <Shortcomings of={member.shortcomings} />
      </section>
      <section aria-labelledby="people">
        <div class="section-head">
          <h2 id="people">Contacts</h2>
        </div>
        <Contacts people={people} own={account} />
      </section>
    </div>
  )
}

function Contacts({ people, own }: { readonly people: People; readonly own: string }) {
  // The own account is not shown as a contact.
  const contacts = people.contacts.value.filter(({ account }) => account !== own)
  if (contacts.length === 0) {
    return (
      <p class="drop soft">
        No contacts yet. When you send to a person, or receive from one, this page remembers their keys.
      </p>
    )
  }
  return (
    <ul class="stack">
      {contacts.map(({ account, fingerprint }) => (
        <li key={account} class="card">
          <div class="row" style={{ flexWrap: 'nowrap', gap: '18px' }}>
            <FingerprintPicture fingerprint={fingerprint} />
            <div style={{ minWidth: 0 }}>
              <p>
                <strong>{account}</strong>
              </p>
              <p class="code">{fingerprint}</p>
            </div>
          </div>
          <Compare people={people} account={account} fingerprint={fingerprint} />
        </li>
      ))}
    </ul>
  )
}

interface CompareProps {
  readonly people: People
  readonly account: string
  readonly fingerprint: string
}

/** A form that compares a fingerprint, which the user got by another channel, with the known one. */
function Compare({ people, account, fingerprint }: CompareProps) {
  const text = useSignal('')
  const given = parseFingerprint(text.value)
  const trust = async (): Promise<void> => {
    if (given !== null) await people.trust(account, given)
    text.value = ''
  }
  return (
    <details>
      <summary>Compare</summary>
      <div class="stack" style={{ gap: '8px', marginTop: '8px' }}>
        <label for={`print-${account}`}>The fingerprint that {account} told you, by another way than this portal</label>
        <input
          id={`print-${account}`}
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder="xxxx-xxxx-xxxx-xxxx-xxxx-xxxx"
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value
          }}
        />
        <div role="status">
          {given === fingerprint && <p>The fingerprints match: these are the keys of {account}.</p>}
          {given !== null && given !== fingerprint && (
            <div class="stack">
              <p class="problem">
                The fingerprints differ. Either {account} has joined again with new keys, or another person pretends to
                be {account}.
              </p>
              <p>
                <button type="button" class="slim" onClick={() => void trust()}>
                  Trust this fingerprint
                </button>
              </p>
            </div>
          )}
        </div>
      </div>
    </details>
  )
}
