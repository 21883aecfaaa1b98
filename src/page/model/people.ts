/** The contacts of this browser and the accounts at the portal. */
import { type ReadonlySignal, signal } from '@preact/signals'
import { type PortalClient, RemoteProblem } from '../../client/index.ts'
import { Problem } from '../../protocol/index.ts'
import { type Contact, fingerprintOf } from '../../trust/index.ts'
import type { PageContacts } from '../platform/contacts.ts'
import type { People } from './types.ts'

export class PagePeople implements People {
  readonly contacts: ReadonlySignal<readonly Contact[]>
  readonly #client: PortalClient
  readonly #known: PageContacts
  readonly #stop: AbortSignal
  readonly #contacts = signal<readonly Contact[]>([])

  constructor(client: PortalClient, known: PageContacts, stop: AbortSignal) {
    this.#client = client
    this.#known = known
    this.#stop = stop
    this.contacts = this.#contacts
  }

  /** Reloads the contacts. */
  async look(): Promise<void> {
    const all = await this.#known.list()
    this.#contacts.value = all.flatMap(({ account, keys, fingerprint }) =>
      keys === null ? [] : { account, keys, fingerprint },
    )
  }

  async find(name: string): Promise<Contact | null> {
    try {
      const { keys } = await this.#client.accountOf(name, { signal: this.#stop })
      if (keys === null) return null
      const contact = await this.#known.check(name, keys)
      await this.look()
      return contact
    } catch (error) {
      throw inPlainWords(name, error)
    }
  }

  async trust(name: string, fingerprint: string): Promise<void> {
    const { keys } = await this.#client.accountOf(name, { signal: this.#stop })
    const isOfPortal = keys !== null && (await fingerprintOf(keys)) === fingerprint
    await this.#known.trust(name, fingerprint, isOfPortal ? keys : null)
    await this.look()
  }
}

function inPlainWords(name: string, error: unknown): Error {
  if (error instanceof RemoteProblem && error.code === 'receiver-unknown') {
    return new Error(`There is no account "${name}" at this portal.`, { cause: error })
  }
  if (error instanceof Problem && error.code === 'keys-changed') {
    const text = `The keys of ${name} are not those that this browser knows. Compare fingerprints first, under You.`
    return new Error(text, { cause: error })
  }
  return error instanceof Error ? error : new Error(String(error))
}
