/**
 * A file or folder that has to stay in its place while a process uses it. A file stays open when its folder is moved or removed,
 * and another folder may appear in its place, for instance an empty mount point. Data written after that would not be found again.
 */
import { type BigIntStats, statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Problem } from '../protocol/index.ts'
import { hasCode } from './error-code.ts'

export class FixedPath {
  readonly #path: string
  readonly #what: string
  readonly #identity: string

  /**
   * @param path of the file or folder, which exists
   * @param what its name in an error message
   * @throws errors of the file system when nothing is there
   */
  constructor(path: string, what: string) {
    this.#path = resolve(path)
    this.#what = what
    this.#identity = identityOf(statSync(this.#path, { bigint: true }))
  }

  /** @throws Problem `unavailable` when it was moved, removed or replaced */
  async assertThere(): Promise<void> {
    this.#assertSame(await stat(this.#path, { bigint: true }).catch(nullIfGone))
  }

  /** {@link assertThere} for synchronous code. */
  assertThereSync(): void {
    let stats: BigIntStats | null
    try {
      stats = statSync(this.#path, { bigint: true })
    } catch (error) {
      stats = nullIfGone(error)
    }
    this.#assertSame(stats)
  }

  #assertSame(stats: BigIntStats | null): void {
    if (stats !== null && identityOf(stats) === this.#identity) return
    const how = stats === null ? 'is gone: it was moved or removed' : 'was replaced by another one'
    // Paths are for the operator only. So they stand in the cause, which the log shows and clients do not see.
    const cause = new Error(`${this.#what} ${this.#path} ${how}. Put it back, or start the portal where it is now`)
    throw new Problem('unavailable', {}, { cause })
  }
}

function identityOf({ dev, ino }: BigIntStats): string {
  return `${dev} ${ino}`
}

function nullIfGone(error: unknown): null {
  if (hasCode(error, 'ENOENT', 'ENOTDIR')) return null
  throw error
}
