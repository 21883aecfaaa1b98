/** How much room a disk has: asked for with every file, and looked up now and then. */
import { statfs } from 'node:fs/promises'

/** What a disk takes in meanwhile is little against what everybody leaves free. */
const LOOK_MS = 100

export class Room {
  readonly #folder: string
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #looking: Promise<number> = Promise.resolve(0)

  /** @param folder on the disk that is meant */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** What whoever is not the superuser can still write there. */
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
