/** Does together what is asked for while an earlier act is under way. What comes alone never waits. */
export class Gatherer<Item> {
  readonly #act: (items: readonly Item[]) => Promise<void>
  #items: Item[] = []
  #next: Promise<void> | null = null
  #underWay: Promise<void> = Promise.resolve()

  constructor(act: (items: readonly Item[]) => Promise<void>) {
    this.#act = act
  }

  /** Resolves when the item is done, with others. @throws what the act of all of them throws */
  add(item: Item): Promise<void> {
    this.#items.push(item)
    this.#next ??= this.#begin()
    return this.#next
  }

  async #begin(): Promise<void> {
    await this.#underWay.catch(() => {})
    const items = this.#items
    this.#items = []
    this.#next = null
    const underWay = this.#act(items)
    this.#underWay = underWay
    await underWay
  }
}
