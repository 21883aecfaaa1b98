/**
 * A list of values that only grows, in typed arrays. Each array has the same length: once there are several, no value is copied again, and little memory
 * lies idle. An array that is replaced by a larger one would take its memory twice, and give the old one back late.
 */

/** One of the arrays. */
interface TypedArray<Value> {
  readonly length: number
  [index: number]: Value
  set(values: ArrayLike<Value>): void
}

const ARRAY_BITS = 15
/** The length of all arrays but the first one, which begins small and is doubled up to that. */
const ARRAY_LENGTH = 1 << ARRAY_BITS
const FIRST_LENGTH = 64

export class Column<Value extends number | bigint> {
  readonly #arrayOf: (length: number) => TypedArray<Value>
  readonly #arrays: TypedArray<Value>[] = []

  /** @param arrayOf makes a typed array of that length */
  constructor(arrayOf: (length: number) => TypedArray<Value>) {
    this.#arrayOf = arrayOf
  }

  /** @returns undefined where nothing was set, as an array does */
  at(index: number): Value | undefined {
    return this.#arrays[index >>> ARRAY_BITS]?.[index & (ARRAY_LENGTH - 1)]
  }

  /** @param index of a value that is there, or of the next one */
  set(index: number, value: Value): void {
    const number = index >>> ARRAY_BITS
    const at = index & (ARRAY_LENGTH - 1)
    let array = this.#arrays[number]
    if (array === undefined || at >= array.length) {
      array = this.#longer(number, array)
      this.#arrays[number] = array
    }
    array[at] = value
  }

  #longer(number: number, array: TypedArray<Value> | undefined): TypedArray<Value> {
    if (array === undefined) return this.#arrayOf(number === 0 ? FIRST_LENGTH : ARRAY_LENGTH)
    const longer = this.#arrayOf(array.length * 2)
    longer.set(array)
    return longer
  }
}

const TEXT_BITS = 20
const TEXT_ARRAY_BYTES = 1 << TEXT_BITS
const TEXT_FIRST_BYTES = 1024
/** UTF-8 has at most three bytes for a UTF-16 unit. */
const BYTES_PER_UNIT = 3
const encoder = new TextEncoder()
const nothing = new Uint8Array()

/** Texts in UTF-8, one behind the other. What belongs together lies in one array. */
export class TextColumn {
  readonly #arrays: Uint8Array[] = []
  #end = 0

  /**
   * Makes room for texts that are appended next and lie in one array.
   *
   * @param units the length of all of them in UTF-16 units; a third of a million at most
   * @returns where the first one will be
   */
  begin(units: number): number {
    const bytesMax = units * BYTES_PER_UNIT
    if (bytesMax > TEXT_ARRAY_BYTES) throw new RangeError('a name is too long')
    const used = this.#end & (TEXT_ARRAY_BYTES - 1)
    if (this.#arrayAt(this.#end).length - used >= bytesMax) return this.#end
    if (this.#end + bytesMax <= TEXT_ARRAY_BYTES) {
      const longer = new Uint8Array(Math.min(TEXT_ARRAY_BYTES, Math.max(TEXT_FIRST_BYTES, (used + bytesMax) * 2)))
      longer.set(this.#arrayAt(0).subarray(0, used))
      this.#arrays[0] = longer
    } else {
      this.#end = this.#arrays.length * TEXT_ARRAY_BYTES
      this.#arrays.push(new Uint8Array(TEXT_ARRAY_BYTES))
    }
    return this.#end
  }

  /** @returns the length in bytes */
  append(text: string): number {
    const { written } = encoder.encodeInto(text, this.bytes(this.#end))
    this.#end += written
    return written
  }

  /** @param lengthBytes null for all up to the end of the array */
  bytes(at: number, lengthBytes: number | null = null): Uint8Array {
    const from = at & (TEXT_ARRAY_BYTES - 1)
    const array = this.#arrayAt(at)
    return array.subarray(from, lengthBytes === null ? array.length : from + lengthBytes)
  }

  #arrayAt(at: number): Uint8Array {
    return this.#arrays[at >>> TEXT_BITS] ?? nothing
  }
}
