/** JSON that is made to be costly: at each place of a valid message, many invalid values, or many that look valid. */

interface Filling {
  readonly what: string
  /** The text of a JSON value of about that length. */
  readonly text: (lengthBytes: number) => string
}

/** As many items as fill that length, separated by commas. */
function many(lengthBytes: number, itemOf: (index: number) => string): string {
  const items: string[] = []
  for (let length = 0; length < lengthBytes; ) {
    const item = itemOf(items.length)
    items.push(item)
    length += item.length + 1
  }
  return items.join(',')
}

const fillings: readonly Filling[] = [
  { what: 'an array of one number', text: (n) => `[${many(n, () => '1')}]` },
  { what: 'an array of one name', text: (n) => `[${many(n, () => '"bob"')}]` },
  { what: 'an array of different names', text: (n) => `[${many(n, (i) => `"b${i}"`)}]` },
  { what: 'an array of what is no name', text: (n) => `[${many(n, (i) => `"B ${i}"`)}]` },
  { what: 'an array of pairs', text: (n) => `[${many(n, (i) => `[${i + 1},${i + 1}]`)}]` },
  { what: 'an array of empty objects', text: (n) => `[${many(n, () => '{}')}]` },
  { what: 'an array of arrays of arrays', text: (n) => `${'['.repeat(n / 2)}${']'.repeat(n / 2)}` },
  { what: 'objects in objects', text: (n) => `${'{"a":'.repeat(n / 6)}0${'}'.repeat(n / 6)}` },
  { what: 'an object of many members', text: (n) => `{${many(n, (i) => `"m${i}":0`)}}` },
  { what: 'an object of names of accounts', text: (n) => `{${many(n, (i) => `"m${i}":"${'A'.repeat(107)}"`)}}` },
  { what: 'an object of numbered members', text: (n) => `{${many(n, (i) => `"${i}":0`)}}` },
  { what: 'an object of one member again and again', text: (n) => `{${many(n, () => '"a":0')}}` },
  { what: 'an object of prototypes', text: (n) => `{${many(n, () => '"__proto__":{}')}}` },
  { what: 'an object of a long name', text: (n) => `{"${'a'.repeat(n)}":0}` },
  { what: 'a long text', text: (n) => `"${'a'.repeat(n)}"` },
  { what: 'a long text of hex', text: (n) => `"${'0'.repeat(n)}"` },
  { what: 'a long text of dots', text: (n) => `"${'a.'.repeat(n / 2)}"` },
  { what: 'a long text of escapes', text: (n) => `"${'\\ud83d'.repeat(n / 6)}"` },
  { what: 'a long text beyond ASCII', text: (n) => `"${'é'.repeat(n / 2)}"` },
  { what: 'a long number', text: (n) => '9'.repeat(n) },
]

const PLACE = '\u0000place\u0000'

/** The places within a value, each as a function that puts another value there. */
function* placesIn(value: unknown, path = ''): Generator<{ path: string; with: (place: unknown) => unknown }> {
  yield { path: path === '' ? 'the whole' : path, with: (place) => place }
  if (typeof value !== 'object' || value === null) return
  for (const [name, member] of Object.entries(value)) {
    for (const within of placesIn(member, `${path}/${name}`)) {
      const put = (changed: unknown): unknown =>
        Array.isArray(value)
          ? value.map((one, index) => (String(index) === name ? changed : one))
          : { ...value, [name]: changed }
      yield { path: within.path, with: (place) => put(within.with(place)) }
    }
  }
  // And an unknown member.
  if (!Array.isArray(value)) yield { path: `${path}/another`, with: (place) => ({ ...value, another: place }) }
}

/**
 * Hostile forms of a message, as text.
 *
 * @param example a message of the right form
 * @returns the name of each form, and its text for a length in bytes
 */
export function* hostileForms(example: unknown): Generator<Filling> {
  for (const { path, with: put } of placesIn(example)) {
    for (const { what, text } of fillings) {
      const around = JSON.stringify(put(PLACE))
      yield { what: `${what} at ${path}`, text: (n) => around.replace(JSON.stringify(PLACE), () => text(n)) }
    }
  }
}
