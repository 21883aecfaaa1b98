/** Combines items that are added in one turn, or while an earlier act runs: one act gets all of them. */
export class Gatherer<Item> {
  readonly #act: (items: readonly Item[]) => Promise<void>
  readonly #soon: (begin: () => void) => void
  #items: Item[] = []
  #next: Promise<void> | null = null
  #underWay: Promise<void> = Promise.resolve()

  /** @param soon calls back after the present turn, to begin the act for all items of that turn */
  constructor(act: (items: readonly Item[]) => Promise<void>, soon: (begin: () => void) => void) {
    this.#act = act
    this.#soon = soon
  }

  /** Resolves when the item is done, with others. @throws the error of the act, for each of its items */
  add(item: Item): Promise<void> {
    this.#items.push(item)
    this.#next ??= this.#begin()
    return this.#next
  }

  async #begin(): Promise<void> {
    await this.#underWay.catch(() => {})
    await new Promise<void>((resolve) => this.#soon(resolve))
    const items = this.#items
    this.#items = []
    this.#next = null
    this.#underWay = this.#act(items)
    await this.#underWay
  }
}
