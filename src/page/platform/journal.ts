/** The sender's journal in the browser's database. An entry and its seal record come and go in one transaction. */
import { asEntry, type Journal, type JournalEntry, type JournalKey, keyText } from '../../sender/index.ts'
import { type PageDatabase, writing } from './database.ts'
import { recordRange } from './seal-records.ts'

export class PageJournal implements Journal {
  readonly #database: PageDatabase

  constructor(database: PageDatabase) {
    this.#database = database
  }

  async read(key: JournalKey): Promise<JournalEntry | null> {
    return entryOf(key, await this.#database.get('journal', keyText(key)))
  }

  async replace(known: JournalEntry | null, entry: JournalEntry): Promise<boolean> {
    const transaction = writing(this.#database, ['journal', 'sealed'])
    const journal = transaction.objectStore('journal')
    const current = entryOf(entry, await journal.get(keyText(entry)))
    const isKnown = current?.transferId === known?.transferId
    if (isKnown) {
      if (current !== null) await transaction.objectStore('sealed').delete(recordRange(current.transferId))
      await journal.put(entry, keyText(entry))
    }
    await transaction.done
    return isKnown
  }

  async remove(entry: JournalEntry): Promise<void> {
    const transaction = writing(this.#database, ['journal', 'sealed'])
    const journal = transaction.objectStore('journal')
    const current = entryOf(entry, await journal.get(keyText(entry)))
    if (current?.transferId === entry.transferId) {
      await transaction.objectStore('sealed').delete(recordRange(entry.transferId))
      await journal.delete(keyText(entry))
    }
    await transaction.done
  }

  /** All unfinished entries, newest first. Where the upload is incomplete, the user has to choose the file again. */
  async list(): Promise<JournalEntry[]> {
    const values: unknown[] = await this.#database.getAll('journal')
    const entries = values.map(asEntry).filter((entry) => entry !== null)
    return entries.sort((one, other) => (one.createdAt < other.createdAt ? 1 : -1))
  }
}

function entryOf(key: JournalKey, value: unknown): JournalEntry | null {
  const entry = asEntry(value)
  return entry !== null && keyText(entry) === keyText(key) ? entry : null
}
