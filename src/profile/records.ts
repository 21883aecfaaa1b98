/**
 * Small records of one kind in a folder, one JSON file each, readable only by the user. Changes are durable when they resolve, and
 * records are changed under a lock that the system releases when its process ends.
 */
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Static, TSchema } from 'typebox'
import {
  hasCode,
  makeOwnFolder,
  readTextOrNull,
  removeFile,
  replaceFile,
  syncFolder,
  withFolderLock,
} from '../fs/index.ts'
import { conforms } from '../protocol/index.ts'

export class Records<Schema extends TSchema> {
  readonly #folder: string
  readonly #schema: Schema

  /** @param folder need not exist yet */
  constructor(folder: string, schema: Schema) {
    this.#folder = folder
    this.#schema = schema
  }

  /** @returns null when there is none, or when it is damaged */
  async read(name: string): Promise<Static<Schema> | null> {
    const text = await readTextOrNull(this.#pathOf(name))
    if (text === null) return null
    try {
      const value: unknown = JSON.parse(text)
      return conforms(this.#schema, value) ? value : null
    } catch (error) {
      if (error instanceof SyntaxError) return null
      throw error
    }
  }

  /** All records, by name. */
  async all(): Promise<Map<string, Static<Schema>>> {
    const files = await readdir(this.#folder).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return []
      throw error
    })
    const found = new Map<string, Static<Schema>>()
    for (const file of files) {
      if (!file.endsWith(ENDING) || file.startsWith('.')) continue
      const name = file.slice(0, -ENDING.length)
      const record = await this.read(name)
      if (record !== null) found.set(name, record)
    }
    return found
  }

  async write(name: string, record: Static<Schema>): Promise<void> {
    await makeOwnFolder(this.#folder, { withParents: true })
    await replaceFile(this.#pathOf(name), `${JSON.stringify(record, null, 2)}\n`)
  }

  async remove(name: string): Promise<void> {
    await removeFile(this.#pathOf(name))
    await syncFolder(this.#folder)
  }

  /** Reads and changes records while no other process does. */
  async alone<Result>(act: () => Promise<Result>): Promise<Result> {
    await makeOwnFolder(this.#folder, { withParents: true })
    return withFolderLock(this.#folder, `${this.#folder}.lock`, act)
  }

  #pathOf(name: string): string {
    return join(this.#folder, `${name}${ENDING}`)
  }
}

const ENDING = '.json'

/** A name for the record of something that has no name of its own: a digest, from which nothing of it can be read. */
export function recordNameOf(...parts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}
