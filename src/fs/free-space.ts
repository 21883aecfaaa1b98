/** The free space of a disk. Callers ask with every file; the disk is asked at most once in `LOOK_MS`. */
import { statfs } from 'node:fs/promises'

/** In this time callers write little compared with the space that they leave free. */
const LOOK_MS = 100

export class FreeSpace {
  readonly #folder: string
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #looking: Promise<number> = Promise.resolve(0)

  /** @param folder any folder on the disk */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** How many bytes users other than root can still write there. */
  freeBytes(): Promise<number> {
    if (performance.now() - this.#lookedAtMs > LOOK_MS) {
      this.#lookedAtMs = performance.now()
      this.#looking = look(this.#folder)
    }
    return this.#looking
  }
}

async function look(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}
