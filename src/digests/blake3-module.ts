/**
 * The compression function of BLAKE3 for four inputs at once, as a WebAssembly module with 128-bit vectors: each lane of a vector belongs
 * to one input. The code is straight, so it is written out here by a small assembler. The numbers are those of the binary format
 * (https://webassembly.github.io/spec/core/binary/) and of section 2 of the BLAKE3 paper.
 */

/** Fractional parts of square roots, as in SHA-256. */
const iv: readonly number[] = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
]
/** The order in which a round takes the words that the round before took. */
const permutation: readonly number[] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]
const rounds = 7
/** The four words of the state that each step of a round mixes: columns, then diagonals. */
const steps: readonly (readonly [a: number, b: number, c: number, d: number])[] = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
]
export const blake3BlockBytes = 64
export const blake3Lanes = 4

/** Parameters of the function: see {@link Compress4}. */
const INPUT = 0
const STRIDE = 1
const BLOCKS = 2
const COUNTER = 3
const COUNTER_STEP = 4
const FLAGS = 5
const FIRST_FLAG = 6
const LAST_FLAG = 7
const LAST_BYTES = 8
const OUTPUT = 9
const PARAMETERS = 10
/** Local variables: the number of the block, then vectors. */
const BLOCK = 10
const CHAIN = 11
const STATE = CHAIN + 8
const MESSAGE = STATE + 16
const VECTORS = 8 + 16 + 16

const I32 = 0x7f
const V128 = 0x7b

/**
 * Hashes four inputs of the same number of blocks.
 *
 * @param input the address of the first; the others follow at distances of `stride`
 * @param counter of the first; those of the others are greater by `counterStep` each
 * @param flags of every block; `firstFlag` and `lastFlag` are added to those of the first and of the last
 * @param lastBytes how many bytes of the last block count; the others are zero
 * @param output where the four chaining values go, 32 bytes each. It may overlap the inputs
 */
export type Compress4 = (
  input: number,
  stride: number,
  blocks: number,
  counter: number,
  counterStep: number,
  flags: number,
  firstFlag: number,
  lastFlag: number,
  lastBytes: number,
  output: number,
) => void

/** The module. It exports `compress4`, and `memory` with a given number of pages. */
export function blake3Module(memoryPages: number): Uint8Array<ArrayBuffer> {
  const locals = vector([
    [1, I32],
    [VECTORS, V128],
  ])
  const body = [...locals, ...code(), ...END]
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, vector([[0x60, ...vector(Array(PARAMETERS).fill([I32])), 0x00]])),
    ...section(3, vector([[0x00]])),
    ...section(5, vector([[0x00, ...unsigned(memoryPages)]])),
    ...section(
      7,
      vector([
        [...name('compress4'), 0x00, 0x00],
        [...name('memory'), 0x02, 0x00],
      ]),
    ),
    ...section(10, vector([[...unsigned(body.length), ...body]])),
  ])
}

function code(): number[] {
  const out: number[] = []
  for (let word = 0; word < 8; word++) out.push(...splat(iv[word] as number), ...set(CHAIN + word))
  out.push(...LOOP)
  for (let quarter = 0; quarter < 4; quarter++) out.push(...loadTransposed(quarter))
  for (let word = 0; word < 8; word++) out.push(...get(CHAIN + word), ...set(STATE + word))
  for (let word = 0; word < 4; word++) out.push(...splat(iv[word] as number), ...set(STATE + 8 + word))
  out.push(...get(COUNTER), ...simd(SPLAT), ...get(COUNTER_STEP), ...simd(SPLAT), ...vectorOf([0, 1, 2, 3]))
  out.push(...simd(MULTIPLY), ...simd(ADD), ...set(STATE + 12))
  out.push(...splat(0), ...set(STATE + 13), ...bytesOfBlock(), ...simd(SPLAT), ...set(STATE + 14))
  out.push(...flagsOfBlock(), ...simd(SPLAT), ...set(STATE + 15))
  let order = permutation.map((_, word) => word)
  for (let round = 0; round < rounds; round++) {
    for (const [step, words] of steps.entries()) {
      const [a, b, c, d] = words.map((word) => STATE + word) as [number, number, number, number]
      const [first, second] = [order[2 * step], order[2 * step + 1]].map((word) => MESSAGE + (word as number))
      out.push(...half(a, b, c, d, first as number, 16, 12), ...half(a, b, c, d, second as number, 8, 7))
    }
    order = permutation.map((word) => order[word] as number)
  }
  for (let word = 0; word < 8; word++) {
    out.push(...get(STATE + word), ...get(STATE + 8 + word), ...simd(XOR), ...set(CHAIN + word))
  }
  // Once more unless this was the last block.
  out.push(...get(BLOCK), ...i32(1), ...ADD_I32, ...tee(BLOCK), ...get(BLOCKS), ...LESS, ...BRANCH_TO_LOOP_IF, ...END)
  for (const from of [0, 4]) {
    out.push(
      ...transposed(
        [0, 1, 2, 3].map((word) => CHAIN + from + word),
        STATE,
        MESSAGE,
      ),
    )
    for (let lane = 0; lane < blake3Lanes; lane++) {
      out.push(...get(OUTPUT), ...get(MESSAGE + lane), ...simd(STORE), 0x00, ...unsigned(lane * 32 + from * 4))
    }
  }
  return out
}

/** Half of a step: `a += b + word; d = (d ^ a) >>> rotation; c += d; b = (b ^ c) >>> rotation`. */
function half(a: number, b: number, c: number, d: number, word: number, first: number, second: number): number[] {
  const sum = [...get(a), ...get(b), ...simd(ADD), ...get(word), ...simd(ADD), ...set(a)]
  const spread = [...get(d), ...get(a), ...simd(XOR), ...rotated(d, first)]
  const sum2 = [...get(c), ...get(d), ...simd(ADD), ...set(c)]
  return [...sum, ...spread, ...sum2, ...get(b), ...get(c), ...simd(XOR), ...rotated(b, second)]
}

/** Rotates the vector on the stack to the right, into a local variable. */
function rotated(target: number, bits: number): number[] {
  const right = [...tee(target), ...i32(bits), ...simd(SHIFT_RIGHT)]
  return [...right, ...get(target), ...i32(32 - bits), ...simd(SHIFT_LEFT), ...simd(OR), ...set(target)]
}

/** Loads four words of the block of each input, and turns them so that each vector has one word of all inputs. */
function loadTransposed(quarter: number): number[] {
  const out: number[] = []
  for (let lane = 0; lane < blake3Lanes; lane++) {
    out.push(...get(INPUT), ...get(BLOCK), ...i32(Math.log2(blake3BlockBytes)), ...SHIFT_LEFT_I32, ...ADD_I32)
    out.push(...get(STRIDE), ...i32(lane), ...MULTIPLY_I32, ...ADD_I32)
    out.push(...simd(LOAD), 0x00, ...unsigned(quarter * 16), ...set(STATE + lane))
  }
  const from = [0, 1, 2, 3].map((lane) => STATE + lane)
  return [...out, ...transposed(from, STATE + 4, MESSAGE + quarter * 4)]
}

/** Transposes four vectors of four words. @param spare four vectors that are overwritten */
function transposed(from: readonly number[], spare: number, to: number): number[] {
  const LOW = [0, 1, 4, 5]
  const HIGH = [2, 3, 6, 7]
  const EVEN = [0, 4, 1, 5]
  const ODD = [2, 6, 3, 7]
  const [a, b, c, d] = from as [number, number, number, number]
  return [
    ...shuffled(a, b, EVEN, spare),
    ...shuffled(a, b, ODD, spare + 1),
    ...shuffled(c, d, EVEN, spare + 2),
    ...shuffled(c, d, ODD, spare + 3),
    ...shuffled(spare, spare + 2, LOW, to),
    ...shuffled(spare, spare + 2, HIGH, to + 1),
    ...shuffled(spare + 1, spare + 3, LOW, to + 2),
    ...shuffled(spare + 1, spare + 3, HIGH, to + 3),
  ]
}

/** @param words which of the eight words of two vectors become the four of the target */
function shuffled(one: number, other: number, words: readonly number[], to: number): number[] {
  const bytes = words.flatMap((word) => [0, 1, 2, 3].map((byte) => word * 4 + byte))
  return [...get(one), ...get(other), ...simd(SHUFFLE), ...bytes, ...set(to)]
}

/** The flags of the present block, on the stack. */
function flagsOfBlock(): number[] {
  const first = [...get(FIRST_FLAG), ...i32(0), ...get(BLOCK), ...IS_ZERO, ...SELECT]
  const last = [...get(LAST_FLAG), ...i32(0), ...isLastBlock(), ...SELECT]
  return [...get(FLAGS), ...first, ...OR_I32, ...last, ...OR_I32]
}

/** How many bytes of the present block count, on the stack. */
function bytesOfBlock(): number[] {
  return [...get(LAST_BYTES), ...i32(blake3BlockBytes), ...isLastBlock(), ...SELECT]
}

function isLastBlock(): number[] {
  return [...get(BLOCK), ...i32(1), ...ADD_I32, ...get(BLOCKS), ...EQUAL]
}

const LOOP = [0x03, 0x40]
const BRANCH_TO_LOOP_IF = [0x0d, 0x00]
const END = [0x0b]
const SELECT = [0x1b]
const IS_ZERO = [0x45]
const EQUAL = [0x46]
const LESS = [0x49]
const ADD_I32 = [0x6a]
const MULTIPLY_I32 = [0x6c]
const OR_I32 = [0x72]
const SHIFT_LEFT_I32 = [0x74]

/** After the prefix of vector operations. */
const LOAD = 0x00
const STORE = 0x0b
const CONSTANT = 0x0c
const SHUFFLE = 0x0d
const SPLAT = 0x11
const OR = 0x50
const XOR = 0x51
const SHIFT_LEFT = 0xab
const SHIFT_RIGHT = 0xad
const ADD = 0xae
const MULTIPLY = 0xb5

function simd(operation: number): number[] {
  return [0xfd, ...unsigned(operation)]
}

function vectorOf(words: readonly number[]): number[] {
  return [...simd(CONSTANT), ...words.flatMap((word) => [0, 8, 16, 24].map((bits) => (word >>> bits) & 0xff))]
}

function splat(word: number): number[] {
  return vectorOf([word, word, word, word])
}

function i32(value: number): number[] {
  // A signed number: one byte up to 63.
  return value < 64 ? [0x41, value] : [0x41, (value & 0x7f) | 0x80, value >> 7]
}

function get(local: number): number[] {
  return [0x20, ...unsigned(local)]
}

function set(local: number): number[] {
  return [0x21, ...unsigned(local)]
}

function tee(local: number): number[] {
  return [0x22, ...unsigned(local)]
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content]
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()]
}

function name(text: string): number[] {
  return vector([...text].map((character) => [character.charCodeAt(0)]))
}

/** LEB128. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)]
}
